"""Tokens that are forbidden at one place each, where they began a text that is banned."""

from __future__ import annotations

import numpy as np

from halfbyte.generation.sampler import F32

MAX_AT_A_PLACE, MAX_IN_ALL = 32, 1024


class Forbidden:
    """Of one answer, which steps back to a place and tries another token there.

    What was forbidden at later places is forgotten then: other tokens lead there. That could take
    long, so there is an end to it.
    """

    def __init__(self) -> None:
        self._n_tokens = self._n_in_all = 0
        self._by_place: dict[int, set[int]] = {}

    def forbid(self, token: int) -> bool:
        """Forbid a token at the present place; False where that was done often enough."""
        later = [place for place in self._by_place if place > self._n_tokens]
        for place in later:
            del self._by_place[place]
        here = self._by_place.setdefault(self._n_tokens, set())
        here.add(token)
        self._n_in_all += 1
        return len(here) <= MAX_AT_A_PLACE and self._n_in_all <= MAX_IN_ALL

    def change(self, row: F32) -> None:
        """As Rule.change."""
        here = self._by_place.get(self._n_tokens)
        if here:
            row[list(here)] = -np.inf

    def accept(self, token: int) -> None:
        """As Rule.accept."""
        self._n_tokens += 1

    def rewind(self, n: int) -> None:
        """As Rewindable.rewind."""
        self._n_tokens -= n
