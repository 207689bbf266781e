"""Lengths by hand: from which token on something counts, and how much."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.hf.processors.lengths import Forced, LeastLength, LikelierEnd


def after(function: LeastLength | Forced | LikelierEnd, n: int) -> list[float]:
    row = np.array([1, -2, 3, -np.inf], np.float32)
    function(np.zeros(n, np.int64), row)
    return row.tolist()


def test_an_end_becomes_likelier_with_each_token() -> None:
    decay = LikelierEnd(5, 1.5, [0, 1, 3])
    assert after(decay, 5) == [1, -2, 3, -np.inf]
    assert after(decay, 6) == [1.5, -1, 3, -np.inf]  # 0.5 of their size more
    assert after(decay, 7) == [2.25, 0.5, 3, -np.inf]
    assert after(LikelierEnd(0, 0.5, [0, 1]), 1) == [0.5, -3, 3, -np.inf]


@pytest.mark.parametrize(("factor", "high"), [(100.0, True), (0.0, False)])
def test_it_stays_finite_in_long_answers(factor: float, high: bool) -> None:
    first, second, *_ = after(LikelierEnd(0, factor, [0, 1]), 10**5)
    assert np.isfinite([first, second]).all() and (first > 1e20) == high


def test_no_end_comes_too_early() -> None:
    least = LeastLength(4, [0, 2])
    assert after(least, 3) == [-np.inf, -2, -np.inf, -np.inf]
    assert after(least, 4) == [1, -2, 3, -np.inf]


def test_what_is_forced_is_all_there_is() -> None:
    forced = Forced([3, 1], 4, "forced_eos_token_id")
    assert after(forced, 4) == [-np.inf, 0, -np.inf, 0]
    assert after(forced, 3) == after(forced, 5) == [1, -2, 3, -np.inf]
