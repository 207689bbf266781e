"""Adaptive-p by hand."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.generation.sampling.adaptive_p import Average, preferring


def test_what_is_near_is_preferred() -> None:
    probs = np.array([0.6, 0.3, 0.1, 0.0])
    logits = np.log(probs, where=probs > 0, out=np.full(4, -np.inf))
    changed = preferring(logits, probs, 0.3)
    # As far off as the width: 5 - 10 * 1 / 2; two thirds of it: 5 - 10 * (4 / 9) / (5 / 3).
    assert changed[:3] == pytest.approx([0.0, 5.0, 5 - 8 / 3])
    assert changed[3] == -np.inf


def test_the_aim_makes_up_for_the_past() -> None:
    average = Average.at(0.5, 0.75)
    assert (average.total, average.weight, average.aim(0.5)) == (2.0, 4.0, 0.5)
    after = average.after(1.0, 0.75)
    assert (after.total, after.weight) == (2.5, 4.0)
    assert after.aim(0.5) == 1 - 2.5 / 4
    assert after.aim(0.1) == 0.0
