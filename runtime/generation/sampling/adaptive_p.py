"""Adaptive-p: tokens near a probability are preferred, which follows what was chosen so far.

Source: llama.cpp, llama_sampler_adaptive_p (pull request 17927), for the constants too.
"""

from __future__ import annotations

import numpy as np

from halfbyte.generation.sampler import F64
from halfbyte.lazy_dataclass import dataclass

_WIDTH, _PEAK, _SHARPNESS = 0.3, 5.0, 10.0


@dataclass(frozen=True, slots=True)
class Average:
    """A moving average of the probabilities of the tokens chosen, with its weight."""

    total: float
    weight: float

    @classmethod
    def at(cls, target: float, decay: float) -> Average:
        """As if what was chosen so far had been right."""
        return cls(target / (1.0 - decay), 1.0 / (1.0 - decay))

    def after(self, prob: float, decay: float) -> Average:
        """With one more."""
        return Average(prob + decay * self.total, 1.0 + decay * self.weight)

    def aim(self, target: float) -> float:
        """The probability that the next token should have, so that the average gets there."""
        return min(max(2.0 * target - self.total / self.weight, 0.0), 1.0)


def preferring(logits: F64, probs: F64, aim: float) -> F64:
    """Logits that prefer tokens whose probability is near `aim`; -inf stays."""
    far = np.abs(probs - aim) / _WIDTH
    changed = _PEAK - _SHARPNESS * far * far / (1.0 + far)
    return np.where(logits == -np.inf, -np.inf, changed)
