"""Which tokens begin with given bytes, and which given bytes begin with."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class PieceIndex:
    """Tokens, given as (bytes, id), in the order of their bytes."""

    def __init__(self, pieces: Iterable[tuple[bytes, int]]) -> None:
        pairs = sorted(pieces)
        self._bytes = [piece for piece, _ in pairs]
        self._ids = np.array([i for _, i in pairs], np.int64)

    def extends(self, text: bytes) -> bool:
        """Whether a piece begins with `text` and is longer."""
        at = bisect_right(self._bytes, text)
        return at < len(self._bytes) and self._bytes[at].startswith(text)

    def allowed(self, text: bytes) -> NDArray[np.int64]:
        """Ids of the tokens that begin with `text`, and of those that `text` begins with."""
        begin = bisect_left(self._bytes, text)
        found = [self._ids[begin : self._end(text)]]
        for n in range(1, len(text)):
            part = text[:n]
            found.append(
                self._ids[bisect_left(self._bytes, part) : bisect_right(self._bytes, part)]
            )
        return np.sort(np.concatenate(found))

    def _end(self, text: bytes) -> int:
        """Index after the last piece that begins with `text`."""
        follower = _follower(text)
        return len(self._bytes) if follower is None else bisect_left(self._bytes, follower)


def _follower(text: bytes) -> bytes | None:
    """The least bytes above all that begin with `text`; None where there are none."""
    stripped = text.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
