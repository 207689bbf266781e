"""Which tokens begin with given bytes, and which given bytes begin with.

The pieces lie in one array. A question goes through it byte by byte, each time
through fewer pieces, so that nothing has to be sorted before the first one is answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from halfbyte.gguf.strings import Strings

_Places = NDArray[np.int64]


class PieceIndex:
    """Tokens, some of a vocabulary.

    Args:
        pieces: the bytes of all its tokens.
        ids: those that count.
    """

    def __init__(self, pieces: Strings, ids: Sequence[int]) -> None:
        self._ids = np.array(ids, np.int64)
        self._lengths, self._starts = pieces.lengths[self._ids], pieces.starts[self._ids]
        self._text, self._bytes = pieces.data, pieces.bytes_of_all
        self._by_first: dict[int, _Places] = {}
        self._containing: dict[bytes, list[tuple[bytes, int]]] = {}

    def extends(self, text: bytes) -> bool:
        """Whether a piece begins with `text` and is longer."""
        return bool((self._lengths[self._beginning(text)] > len(text)).any())

    def beginning_with(self, text: bytes) -> NDArray[np.int64]:
        """Ids of the tokens that are `text` or begin with it, ascending."""
        return np.sort(self._ids[self._beginning(text)])

    def equal_to(self, text: bytes) -> NDArray[np.int64]:
        """Ids of the tokens that are `text`, ascending; a vocabulary may have several."""
        return self._of_length(self._beginning(text), len(text))

    def containing(self, text: bytes) -> list[tuple[bytes, int]]:
        """(bytes, id) of the tokens that `text` is a part of, in the order of their bytes."""
        found = self._containing.get(text)
        if found is None:
            found = sorted(pair for pair in self._pairs() if text in pair[0])
            self._containing[text] = found
        return found

    def prefixes_of(self, text: bytes) -> Iterator[tuple[int, int]]:
        """(id, length) of the tokens that `text` begins with and is longer than."""
        places = self._beginning(text[:1])
        for n in range(1, len(text)):
            for i in self._of_length(places, n).tolist():
                yield i, n
            places = self._going_on(places, n, text[n])

    def _pairs(self) -> Iterator[tuple[bytes, int]]:
        """(bytes, id) of each."""
        places = zip(self._starts.tolist(), self._lengths.tolist(), self._ids.tolist(), strict=True)
        return ((self._text[start : start + n], i) for start, n, i in places)

    def _beginning(self, text: bytes) -> _Places:
        """Where the pieces stand that begin with `text`."""
        if not text:
            return np.arange(len(self._ids))
        places = self._by_first.get(text[0])
        if places is None:
            everywhere = np.arange(len(self._ids))
            places = self._by_first[text[0]] = self._going_on(everywhere, 0, text[0])
        for n in range(1, len(text)):
            places = self._going_on(places, n, text[n])
        return places

    def _going_on(self, places: _Places, n: int, byte: int) -> _Places:
        """Those of some pieces, longer than n, whose byte n is this one."""
        places = places[self._lengths[places] > n]
        return places[self._bytes[self._starts[places] + n] == byte]

    def _of_length(self, places: _Places, n: int) -> NDArray[np.int64]:
        return np.sort(self._ids[places[self._lengths[places] == n]])
