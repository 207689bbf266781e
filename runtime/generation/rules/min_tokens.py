"""An answer of some length: no token that ends it comes before."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Callable, Collection

import numpy as np

from halfbyte.generation.sampler import F32


class MinTokens:
    """Forbids the tokens that end an answer until there are enough others.

    Args:
        n: how many.
        end_ids: tokens that end it.
        token_bytes: what a token spells.
        n_skipped: bytes at the beginning that are no answer: what was taken back of the prompt.
    """

    def __init__(
        self,
        n: int,
        end_ids: Collection[int],
        token_bytes: Callable[[int], bytes],
        n_skipped: int = 0,
    ) -> None:
        self._n, self._end_ids = n, np.array(sorted(end_ids), np.int64)
        self._token_bytes, self._n_skipped = token_bytes, n_skipped
        self._ends = [0]  # of each token, in bytes

    def change(self, row: F32) -> None:
        """As Rule.change."""
        n_spent = bisect_right(self._ends, self._n_skipped) if self._n_skipped else 1
        if len(self._ends) - n_spent < self._n:
            row[self._end_ids] = -np.inf

    def accept(self, token: int) -> None:
        """As Rule.accept."""
        self._ends.append(self._ends[-1] + len(self._token_bytes(token)))

    def rewind(self, n: int) -> None:
        """As Rewindable.rewind."""
        del self._ends[len(self._ends) - n :]

    def fork(self) -> MinTokens:
        """As ForkingRule.fork."""
        made = copy.copy(self)
        made._ends = list(self._ends)
        return made
