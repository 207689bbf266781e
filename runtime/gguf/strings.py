"""Strings of a file, which become objects when they are asked for.

A vocabulary has a hundred thousand, of which a start needs some ten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

_SEARCHES = 64  # by going through all; whoever asks for more gets a table


class Strings(Sequence[bytes]):
    """Strings that lie in bytes, in any order.

    Args:
        data: the bytes.
        starts: where in them each begins, int64 (n,).
        lengths: of each, int64 (n,).
    """

    def __init__(self, data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        self.data, self.starts, self.lengths = data, starts, lengths
        self._n_searches = 0

    @classmethod
    def of(cls, strings: Sequence[bytes]) -> Strings:
        """Those of a list."""
        if isinstance(strings, Strings):
            return strings
        lengths = np.fromiter(map(len, strings), np.int64, len(strings))
        return cls(b"".join(strings), lengths.cumsum() - lengths, lengths)

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self[i] for i in range(len(self))[at]]
        begin = int(self.starts[at])
        return self.data[begin : begin + int(self.lengths[at])]

    def __iter__(self) -> Iterator[bytes]:
        ends = self.starts + self.lengths
        data = self.data
        for begin, end in zip(self.starts.tolist(), ends.tolist(), strict=True):
            yield data[begin:end]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Strings, list)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, string: object) -> bool:
        return isinstance(string, bytes) and self.find(string) is not None

    def __repr__(self) -> str:
        return f"Strings of {self[:3]}, {len(self)} in all"

    def find(self, string: bytes) -> int | None:
        """The place of the first that is equal; None where there is none."""
        if self._n_searches >= _SEARCHES:
            return self._places.get(string)
        self._n_searches += 1
        found = np.flatnonzero((self.lengths == len(string)) & self._begin_with(string[:1]))
        return next((int(i) for i in found if self[int(i)] == string), None)

    def beginning_with(self, byte: bytes) -> NDArray[np.int64]:
        """The places of those that begin with a byte."""
        return np.flatnonzero((self.lengths > 0) & self._begin_with(byte))

    def _begin_with(self, byte: bytes) -> NDArray[np.bool_]:
        """Which begin with a byte, some empty ones among them; all where it is none."""
        return self._firsts == byte[0] if byte else np.ones(len(self), np.bool_)

    def but(self, others: Mapping[int, bytes]) -> Strings:
        """The same with other strings at some places."""
        at = np.fromiter(others, np.int64, len(others))
        behind = Strings.of(list(others.values()))
        starts, lengths = self.starts.copy(), self.lengths.copy()
        starts[at], lengths[at] = behind.starts + len(self.data), behind.lengths
        return Strings(self.data + behind.data, starts, lengths)

    @cached_property
    def bytes_of_all(self) -> NDArray[np.uint8]:
        """The bytes that they lie in, and two more."""
        return np.frombuffer(self.data + b"\0\0", np.uint8)

    @cached_property
    def _firsts(self) -> NDArray[np.uint8]:
        return self.bytes_of_all[self.starts]

    @cached_property
    def _places(self) -> dict[bytes, int]:
        backwards = range(len(self) - 1, -1, -1)
        return dict(zip(reversed(list(self)), backwards, strict=True))
