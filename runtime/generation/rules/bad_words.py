"""Sequences of tokens that never come whole: their last token is forbidden after the others.

Source: transformers, NoBadWordsLogitsProcessor.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from halfbyte.generation.sampler import F32


class BadWords:
    """Of one sequence, whose prompt counts: a bad word may begin there."""

    def __init__(self, words: Sequence[Sequence[int]], prompt: Sequence[int]) -> None:
        self._single = np.array([word[0] for word in words if len(word) == 1], np.int64)
        self._longer: dict[int, list[tuple[tuple[int, ...], int]]] = {}  # by the last token but one
        for word in words:
            if len(word) > 1:
                self._longer.setdefault(word[-2], []).append((tuple(word[:-1]), word[-1]))
        self._n_looked_at = max(map(len, words), default=1) - 1
        self._ids = list(prompt[-self._n_looked_at :] if self._n_looked_at else ())

    def change(self, row: F32) -> None:
        """As Rule.change."""
        row[self._single] = -np.inf
        if self._ids:
            recent = tuple(self._ids[-self._n_looked_at :])
            for before, last in self._longer.get(recent[-1], ()):
                if recent[-len(before) :] == before:
                    row[last] = -np.inf

    def accept(self, token: int) -> None:
        """As Rule.accept."""
        self._ids.append(token)

    def rewind(self, n: int) -> None:
        """As Rewindable.rewind."""
        del self._ids[len(self._ids) - n :]

    def fork(self) -> BadWords:
        """As ForkingRule.fork."""
        made = copy.copy(self)
        made._ids = list(self._ids)
        return made
