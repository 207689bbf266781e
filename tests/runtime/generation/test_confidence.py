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


def test_what_is_taken_back_does_not_count() -> None:
    sure = Confidence()
    for share in (-1.0, -2.0, -3.0):
        sure.take_share(share)
    sure.rewind(2)
    assert sure.mean == sure.first == math.exp(-1.0)
    sure.take_share(-5.0)
    assert sure.mean == math.exp(-3.0) and sure.first == math.exp(-1.0)
    sure.rewind(7)
    assert sure.mean is None and sure.first is None
