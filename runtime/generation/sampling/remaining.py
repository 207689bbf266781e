"""The tokens that may come next, as the samplers of a chain leave them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.generation.sampler import F32, F64, I64, softmax


class Remaining:
    """Tokens by ascending ids, with their logits, of which some may be -inf; never changed.

    Attributes:
        ids: the tokens; None where they are all of the vocabulary.
        logits: theirs.
    """

    def __init__(self, logits: F32 | F64, ids: I64 | None = None, probs: F64 | None = None) -> None:
        self.ids, self.logits, self._probs = ids, logits.astype(np.float64, copy=False), probs

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def probs(self) -> F64:
        """Their probabilities, of sum 1."""
        if self._probs is None:
            self._probs = softmax(self.logits, 1.0)
        return self._probs

    def kept(self, at: I64 | None) -> Remaining:
        """Those at ascending indices, probabilities scaled to sum 1; None keeps all."""
        if at is None or len(at) == len(self.logits):
            return self
        ids = at if self.ids is None else self.ids[at]
        if self._probs is None:
            return Remaining(self.logits[at], ids)
        probs = self._probs[at]
        return Remaining(self.logits[at], ids, probs / probs.sum())

    def with_logits(self, logits: F64) -> Remaining:
        """The same tokens with other logits."""
        return Remaining(logits, self.ids)

    def token(self, at: int) -> int:
        """The id of the one at an index."""
        return at if self.ids is None else int(self.ids[at])

    def find(self, tokens: I64) -> tuple[I64, NDArray[np.bool_]]:
        """The indices of those of these tokens that are left, and which of the tokens these are."""
        if self.ids is None:
            return tokens, np.ones(len(tokens), np.bool_)
        at = np.minimum(np.searchsorted(self.ids, tokens), len(self.ids) - 1)
        is_left = self.ids[at] == tokens
        return at[is_left], is_left
