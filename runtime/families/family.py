"""What a model family is: one file beside this each, all of them in registry.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec

# What the configuration classes of transformers have in common.
DEFAULTS: Mapping[str, float | None] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "head_dim": None,  # hidden_size / num_attention_heads
    "rms_norm_eps": 1e-6,
}


@dataclass(frozen=True, slots=True)
class Family:
    """A way to build a model.

    Attributes:
        architecture: GGUF's name of it.
        rotates_halves: whether q and k in a GGUF file have the order of halves; see tensors.py.
        stages: a model's forward pass, in order.
        tensors: what it takes, in a GGUF file's usual order.
        defaults: config.json's names of it (`model_type`), and what keys are there where they are
            absent, as transformers' configuration classes have it. Only those that have
            `sliding_window` or `max_window_layers` take notice of them.
        only: keys of config.json that may have no other value, and that value.
    """

    architecture: str
    rotates_halves: bool
    stages: Callable[[ModelConfig], Iterator[Stage]]
    tensors: Callable[[ModelConfig], Iterator[TensorSpec]]
    defaults: Mapping[str, Mapping[str, float | None]]
    only: dict[str, object]

    @property
    def model_types(self) -> tuple[str, ...]:
        """config.json's names of it."""
        return tuple(self.defaults)
