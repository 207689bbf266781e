"""What was said already, made less likely or impossible.

Source: transformers, RepetitionPenaltyLogitsProcessor, NoRepeatNGramLogitsProcessor.
"""

from __future__ import annotations

import numpy as np

from halfbyte.generation.sampler import F32, I64
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class RepetitionPenalty:
    """Divides positive scores of tokens that came, multiplies negative ones; padding is none."""

    penalty: float
    n_padding: int
    name: str = "repetition_penalty"

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function."""
        seen = ids[self.n_padding :]
        x = row[seen]
        row[seen] = np.where(x < 0, x * np.float32(self.penalty), x / np.float32(self.penalty))


@dataclass(frozen=True, slots=True)
class NoRepeatedNgrams:
    """No n tokens come twice in a row, in prompt and answer together."""

    n: int
    name: str = "no_repeat_ngram_size"

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function."""
        n_before = self.n - 1
        if len(ids) < self.n:
            return
        if not n_before:
            row[ids] = -np.inf
            return
        windows = np.lib.stride_tricks.sliding_window_view(ids, n_before)
        again = (windows[:-1] == windows[-1]).all(axis=1)  # all but the end itself
        row[ids[n_before:][again]] = -np.inf
