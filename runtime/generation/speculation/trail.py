"""The states of a request's latest positions, for a layer that guesses from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


class Trail:
    """States of the positions begin .. end - 1, `dim` floats each.

    Attributes:
        begin, end: as above.
        guessed: what the layer itself had at the latest token that it guessed.
    """

    def __init__(self, dim: int) -> None:
        self.begin = self.end = 0
        self.guessed: F32 = np.zeros(dim, np.float32)
        self._parts: list[F32] = []

    def __len__(self) -> int:
        return self.end - self.begin

    def put(self, position: int, states: F32) -> None:
        """Those of a position and what follows it; what was known from there on is forgotten."""
        if position > self.end or position < self.begin:
            self._parts, self.begin = [], position
        while self._parts and self.end > position:
            last = self._parts.pop()
            self.end -= len(last)
            if self.end < position:
                self._parts.append(last[: position - self.end])
                self.end = position
        self._parts.append(states)
        self.end = position + len(states)

    def rows(self, begin: int, end: int) -> F32:
        """Some positions' states, (end - begin, dim); zeros of those before the first one known."""
        found = np.zeros((end - begin, len(self.guessed)), np.float32)
        at = self.begin
        for part in self._parts:
            first, last = max(at, begin), min(at + len(part), end)
            if first < last:
                found[first - begin : last - begin] = part[first - at : last - at]
            at += len(part)
        return found

    def forget(self, position: int) -> None:
        """What is before a position is not needed any more."""
        while self._parts and self.begin < position:
            first = self._parts.pop(0)
            n = min(len(first), position - self.begin)
            self.begin += n
            if n < len(first):
                self._parts.insert(0, first[n:].copy())
