"""What ends an answer, made impossible, likelier or certain by how many tokens there are.

Lengths count the prompt with its padding. Source: transformers, MinLengthLogitsProcessor,
ForcedBOSTokenLogitsProcessor, ForcedEOSTokenLogitsProcessor, ExponentialDecayLengthPenalty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from halfbyte.generation.sampler import F32, I64
from halfbyte.lazy_dataclass import dataclass

_MOST = 60.0  # of a factor's logarithm: the scores stay finite


@dataclass(frozen=True, slots=True)
class LeastLength:
    """No end before there are so many ids."""

    n: int
    end_ids: Sequence[int]
    name: str = "min_length"

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function."""
        if len(ids) < self.n:
            row[list(self.end_ids)] = -np.inf


@dataclass(frozen=True, slots=True)
class Forced:
    """Only these tokens may follow `at` ids."""

    tokens: Sequence[int]
    at: int
    name: str

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function."""
        if len(ids) == self.at:
            row[:] = -np.inf
            row[list(self.tokens)] = 0.0


@dataclass(frozen=True, slots=True)
class LikelierEnd:
    """Beyond `begin` ids an end becomes likelier with each token."""

    begin: int
    factor: float
    end_ids: Sequence[int]
    name: str = "exponential_decay_length_penalty"

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function."""
        n_beyond = len(ids) - self.begin
        if n_beyond <= 0:
            return
        ends = [token for token in self.end_ids if np.isfinite(row[token])]
        is_huge = self.factor > 1 and n_beyond * math.log(self.factor) > _MOST
        added = (math.exp(_MOST) if is_huge else self.factor**n_beyond) - 1
        row[ends] += np.abs(row[ends]) * np.float32(added)
