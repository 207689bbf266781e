"""The tokens so far as an array, for functions of a caller that look at them before each step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halfbyte.generation.sampler import I64

_ROOM = 64  # tokens


class TokenIds:
    """Token ids that others come behind: a prompt's, and those of its answer as it grows."""

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids, self._n = np.empty(len(ids) + _ROOM, np.int64), len(ids)
        self._ids[: self._n] = ids

    @property
    def array(self) -> I64:
        """int64 (n,), not to be written to; valid until the next change."""
        ids = self._ids[: self._n]
        ids.flags.writeable = False
        return ids

    def append(self, token: int) -> None:
        """One more."""
        if self._n == len(self._ids):
            self._ids = np.concatenate([self._ids, np.empty_like(self._ids)])
        self._ids[self._n] = token
        self._n += 1

    def take_back(self, n: int) -> None:
        """Without the last n."""
        self._n -= n

    def copy(self) -> TokenIds:
        """The same, of which one may change without the other."""
        made = TokenIds(())
        made._ids, made._n = self._ids.copy(), self._n
        return made
