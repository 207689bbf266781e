"""Tokens that are preferred, avoided or forbidden, wherever they come.

Source: transformers, SequenceBiasLogitsProcessor, NoBadWordsLogitsProcessor,
SuppressTokensLogitsProcessor, SuppressTokensAtBeginLogitsProcessor, InfNanRemoveLogitsProcessor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from halfbyte.generation.sampler import F32, I64
from halfbyte.lazy_dataclass import dataclass

Words = Mapping[tuple[int, ...], float]


class SequenceBias:
    """Adds a number to the score of the token that would complete a sequence."""

    def __init__(self, biases: Words, name: str = "sequence_bias") -> None:
        self.name = name
        single = {word[0]: bias for word, bias in biases.items() if len(word) == 1}
        self._single = np.array(list(single), np.int64)
        self._biases = np.array(list(single.values()), np.float32)
        self._longer: dict[int, list[tuple[list[int], int, np.float32]]] = {}
        for word, bias in biases.items():  # by the last id but one
            if len(word) > 1:
                entry = list(word[:-1]), word[-1], np.float32(bias)
                self._longer.setdefault(word[-2], []).append(entry)

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function."""
        added: dict[int, np.float32] = {}
        for before, last, bias in self._longer.get(int(ids[-1]), ()):
            if ids[-len(before) :].tolist() == before:
                added[last] = added.get(last, np.float32(0)) + bias
        row[self._single] += self._biases
        for token, bias in added.items():
            row[token] += bias


def bad_words(words: Sequence[Sequence[int]], end_ids: Collection[int]) -> SequenceBias:
    """Sequences that never come whole; tokens that end an answer are none."""
    kept = [tuple(word) for word in words if len(word) > 1 or word[0] not in end_ids]
    return SequenceBias(dict.fromkeys(kept, -np.inf), "bad_words_ids")


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Forbids tokens; where `at` is a number of ids, behind so many alone."""

    tokens: Sequence[int]
    at: int | None = None

    @property
    def name(self) -> str:
        """See Function."""
        return "suppress_tokens" if self.at is None else "begin_suppress_tokens"

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function."""
        if self.at is None or len(ids) == self.at:
            row[list(self.tokens)] = -np.inf


@dataclass(frozen=True, slots=True)
class FiniteScores:
    """Makes the lowest and highest floats of infinities, and zeros of what is no number."""

    name: str = "remove_invalid_values"

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function."""
        most = np.finfo(np.float32).max
        np.nan_to_num(row, copy=False, nan=0.0, posinf=most, neginf=-most)
