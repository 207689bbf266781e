"""The tokens of a prompt and its answer, of which some samplers look at the last ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halfbyte.generation.sampler import I64


class TokenLog:
    """Grows by a token at a time."""

    def __init__(self, prompt_ids: Sequence[int]) -> None:
        self._ids = np.array(prompt_ids, np.int64)
        self._n = len(self._ids)

    def append(self, token: int) -> None:
        """One more."""
        if self._n == len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros(max(self._n, 64), np.int64)])
        self._ids[self._n] = token
        self._n += 1

    def drop(self, n: int) -> None:
        """The last n less."""
        self._n -= n

    def last(self, n: int | None) -> I64:
        """The last n, or all; valid until the next one comes."""
        return self._ids[max(self._n - n, 0) if n is not None else 0 : self._n]
