"""A caller's own functions: `logits_processor` and `prefix_allowed_tokens_fn`.

Each row of a batch is computed by itself, so that processors are called with one row at a time:
`input_ids` (1, n), with its padding, and `scores` (1, V).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from halfbyte.call_arguments import literal
from halfbyte.errors import RequestError
from halfbyte.generation.sampler import F32, I64
from halfbyte.hf import array_kinds
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class OwnProcessor:
    """Calls a processor of (input_ids, scores); what it gives back takes the row's place."""

    processor: Any
    name: str

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function; RequestError where another shape, NaN or nothing but -inf comes back."""
        shape = (1, len(row))
        with named(self.name, self.processor), array_kinds.without_gradients():
            scores = array_kinds.given(row)[None]
            made = self.processor(array_kinds.given(ids.copy())[None], scores)
        array = array_kinds.taken(made)
        if not array_kinds.is_array(array, shape, "fiu"):
            got = tuple(made.shape) if hasattr(made, "shape") else literal(made)
            raise RequestError(self.name, expected=f"scores of shape {shape}", got=got)
        row[:] = array[0]
        best = row[row.argmax()]
        if not np.isfinite(best):
            got = "nothing but -inf" if best == -np.inf else str(best)
            expected = "logits that are finite, or -inf for some"
            raise RequestError(
                self.name, expected=expected, got=f"{got} from {_of(self.processor)}"
            )


@dataclass(frozen=True, slots=True)
class AllowedTokens:
    """Calls a function of (batch_id, input_ids) that gives the only tokens that may follow.

    Where all of them are forbidden already, they are allowed nevertheless, but not with beams,
    where others may go on.

    Source: transformers, PrefixConstrainedLogitsProcessor.
    """

    function: Any
    batch_id: int
    has_beams: bool
    name: str = "prefix_allowed_tokens_fn"

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function; RequestError where what comes back are not ids, or none."""
        with named(self.name, self.function):
            made = self.function(self.batch_id, array_kinds.given(ids.copy()))
        tokens = self._read(made, len(row))
        kept = row[tokens]
        row[:] = -np.inf
        is_left = self.has_beams or bool((kept > -np.inf).any())
        row[tokens] = kept if is_left else 0.0

    def _read(self, made: Any, n_vocab: int) -> I64:
        value = array_kinds.taken(made)
        try:
            tokens = np.asarray(value if isinstance(value, np.ndarray) else list(value))
        except (TypeError, ValueError):
            tokens = np.empty((0, 0))
        is_list = tokens.ndim == 1 and tokens.size and tokens.dtype.kind in "iu"
        if not is_list or tokens.min() < 0 or tokens.max() >= n_vocab:
            expected = f"a function that gives token ids below {n_vocab}, one at least"
            raise RequestError(self.name, expected=expected, got=literal(made))
        return tokens.astype(np.int64)


@contextmanager
def named(name: str, function: Any) -> Iterator[None]:
    """Add to an exception which function raised it."""
    try:
        yield
    except BaseException as error:
        if hasattr(error, "add_note"):  # from Python 3.11 on
            error.add_note(f"raised by {name}, {_of(function)}")
        raise


def _of(function: Any) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__
