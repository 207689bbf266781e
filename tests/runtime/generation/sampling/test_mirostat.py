"""Mirostat's cuts where its formulas have no value."""

from __future__ import annotations

import numpy as np

from halfbyte.generation.sampling import mirostat


def test_version_1_where_its_formula_has_no_value() -> None:
    assert len(mirostat.kept_by_version_1(np.full(50, 0.02), 10.0, 50)) == 50  # all alike
    assert mirostat.kept_by_version_1(np.array([0.0, 1.0]), 10.0, 2).tolist() == [1]
    # Zipf's exponent is 1 where the second of two is half as likely as the first.
    zipf = np.array([2 / 3, 1 / 3])
    assert mirostat.kept_by_version_1(zipf, 0.0, 50).tolist() == [0]
    assert mirostat.kept_by_version_1(zipf, 1e9, 50).tolist() == [0, 1]


def test_version_2_keeps_the_likeliest() -> None:
    probs = np.array([0.25, 0.5, 0.125, 0.125])
    assert mirostat.kept_by_version_2(probs, 2.0).tolist() == [0, 1]
    assert mirostat.kept_by_version_2(probs, 0.5).tolist() == [1]
    assert mirostat.kept_by_version_2(probs, -3.0).tolist() == [1]


def test_mu_follows_the_surprise() -> None:
    assert mirostat.learned(10.0, 0.25, 5.0, 0.1) == 10.3  # 2 bits, 3 below the target
