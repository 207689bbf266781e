"""transformers' LogitsProcessors: objects that are called with tensors and give tensors back.

Each row of a batch is computed by itself, so that they are called with one row at a time, without
its padding: `input_ids` (1, n) and `scores` (1, V). Penalties come before them, temperature and
filters after, as in transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.generation.rules.processors import NAME, ProcessorRule
from halfbyte.generation.sampler import F32, I64
from halfbyte.hf.batch import import_torch


def check_processors(value: object) -> list[Any] | None:
    """The processors, None without any; RequestError where they cannot be called."""
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return None
    if not isinstance(value, (list, tuple)) or not all(map(callable, value)):
        expected = "a list of functions of (input_ids, scores), as a LogitsProcessorList is"
        raise RequestError(NAME, expected=expected, got=repr(value))
    return list(value)


def processor_rule(processors: Sequence[Any] | None, prompt: Sequence[int]) -> ProcessorRule | None:
    """What calls them for a row; RequestError where torch is not installed."""
    if not processors:
        return None
    torch = import_torch(NAME)
    return ProcessorRule([_Called(torch, processor) for processor in processors], prompt)


class _Called:
    """A processor of tensors as a function of arrays."""

    def __init__(self, torch: Any, processor: Any) -> None:
        self._torch, self._processor = torch, processor
        self.__qualname__ = type(processor).__qualname__

    def __call__(self, ids: I64, row: F32) -> Any:
        """Call it with a row; what it gives back takes the row's place."""
        shape = (1, len(row))
        with self._torch.no_grad():
            scores = self._torch.from_numpy(row)[None]
            made = self._processor(self._torch.from_numpy(ids.copy())[None], scores)
        if not isinstance(made, self._torch.Tensor) or tuple(made.shape) != shape:
            got = tuple(made.shape) if hasattr(made, "shape") else repr(made)
            raise RequestError(NAME, expected=f"a tensor of shape {shape}", got=got)
        return made[0].to(self._torch.float32).cpu().numpy()
