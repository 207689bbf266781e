"""Which tokens begin with given bytes, and which given bytes begin with."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


class PieceIndex:
    """Tokens, given as (bytes, id), in the order of their bytes."""

    def __init__(self, pieces: Iterable[tuple[bytes, int]]) -> None:
        pairs = sorted(pieces)
        self._bytes = [piece for piece, _ in pairs]
        self._ids = np.array([i for _, i in pairs], np.int64)
        self._containing: dict[bytes, list[tuple[bytes, int]]] = {}

    def extends(self, text: bytes) -> bool:
        """Whether a piece begins with `text` and is longer."""
        at = bisect_right(self._bytes, text)
        return at < len(self._bytes) and self._bytes[at].startswith(text)

    def beginning_with(self, text: bytes) -> NDArray[np.int64]:
        """Ids of the tokens that are `text` or begin with it, ascending."""
        begin = bisect_left(self._bytes, text)
        # Behind the last piece that begins with `text` comes the least that is above all of them.
        stripped = text.rstrip(b"\xff")
        above = stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
        end = len(self._bytes) if above is None else bisect_left(self._bytes, above)
        return np.sort(self._ids[begin:end])

    def equal_to(self, text: bytes) -> NDArray[np.int64]:
        """Ids of the tokens that are `text`; a vocabulary may have several."""
        return self._ids[bisect_left(self._bytes, text) : bisect_right(self._bytes, text)]

    def containing(self, text: bytes) -> list[tuple[bytes, int]]:
        """(bytes, id) of the tokens that `text` is a part of."""
        found = self._containing.get(text)
        if found is None:
            pairs = zip(self._bytes, self._ids.tolist(), strict=True)
            found = self._containing[text] = [pair for pair in pairs if text in pair[0]]
        return found

    def prefixes_of(self, text: bytes) -> Iterator[tuple[int, int]]:
        """(id, length) of the tokens that `text` begins with and is longer than."""
        for n in range(1, len(text)):
            for i in self.equal_to(text[:n]).tolist():
                yield i, n
