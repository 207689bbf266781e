"""Which values say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.families.neutral import OFF, ONE, among, each


@pytest.mark.parametrize("value", [None, False, 0, 0.0, "", [], {}, [0, None], np.zeros(3)])
def test_off(value: object) -> None:
    assert OFF.holds(value)


@pytest.mark.parametrize("value", [True, 1, -1, float("nan"), "0", [0, 1], [[]], {"a": 0},
                                   np.array([0, 1]), [b"yes"]])  # fmt: skip
def test_on(value: object) -> None:
    assert not OFF.holds(value)


def test_numbers_are_no_truth_values() -> None:
    assert [ONE.holds(x) for x in (1, 1.0, None, True, 0, "1", [1], 10**400)] == [True] * 3 + (
        [False] * 5
    )
    assert ONE.holds(np.array([1.0, 1.0]))
    assert not ONE.holds(np.array([True]))
    assert not ONE.holds(np.array([1, 2]))
    assert among(True).holds(True)
    assert not among(True).holds(1)
    assert not among(True).holds(None)
    assert among(None, "a").holds(None)
    assert among(None, "a").text == "null or a"


def test_each() -> None:
    assert [each(1).holds(x) for x in (None, [], [1, 1], [1, 0], [True], 1, "1")] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip
