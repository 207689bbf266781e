"""Probabilities of an answer's tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest

from halfbyte.generation.confidence import Confidence


def test_the_first_and_the_geometric_mean() -> None:
    confidence = Confidence(0.5)
    assert (confidence.first, confidence.mean, confidence.is_too_low) == (None, None, False)
    logits = np.log(np.array([0.1, 0.6, 0.3], np.float32))
    confidence.take(logits + 7, 1)
    confidence.take(logits, 2)
    confidence.take_share(math.log(0.2))
    assert confidence.first == pytest.approx(0.6) and not confidence.is_too_low
    assert confidence.mean == pytest.approx((0.6 * 0.3 * 0.2) ** (1 / 3))
    low = Confidence(0.5)
    low.take(logits, 2)
    assert low.is_too_low
