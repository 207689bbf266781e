"""What a model family is: one file beside this each, all of them in registry.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec


@dataclass(frozen=True, slots=True)
class Family:
    """A way to build a model.

    Attributes:
        architecture: GGUF's name of it.
        model_types: config.json's names of it.
        rotates_halves: whether q and k in a GGUF file have the order of halves; see tensors.py.
        stages: a model's forward pass, in order.
        tensors: what it takes, in a GGUF file's usual order.
        only: keys of config.json that may have no other value, and that value.
        has_window: whether `sliding_window` of config.json counts.
    """

    architecture: str
    model_types: tuple[str, ...]
    rotates_halves: bool
    stages: Callable[[ModelConfig], Iterator[Stage]]
    tensors: Callable[[ModelConfig], Iterator[TensorSpec]]
    only: dict[str, object]
    has_window: bool = False
