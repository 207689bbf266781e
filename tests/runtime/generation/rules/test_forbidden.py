"""Tokens forbidden at places."""

from __future__ import annotations

import numpy as np

from halfbyte.generation.rules import forbidden
from halfbyte.generation.rules.forbidden import Forbidden


def at_its_place(rule: Forbidden) -> list[int]:
    row = np.zeros(9, np.float32)
    rule.change(row)
    return np.flatnonzero(np.isneginf(row)).tolist()


def test_each_place_has_its_own() -> None:
    rule = Forbidden()
    assert rule.forbid(3) and rule.forbid(5)
    assert at_its_place(rule) == [3, 5]
    rule.accept(1)
    assert at_its_place(rule) == []
    assert rule.forbid(7)
    rule.accept(2)
    rule.rewind(1)
    assert at_its_place(rule) == [7]
    rule.rewind(1)
    assert rule.forbid(4)  # another way: what was forbidden behind it is not any more
    assert at_its_place(rule) == [3, 4, 5]
    rule.accept(1)
    assert at_its_place(rule) == []


def test_there_is_an_end_to_it() -> None:
    rule = Forbidden()
    assert [rule.forbid(i) for i in range(33)] == [True] * forbidden.MAX_AT_A_PLACE + [False]
    rule, n = Forbidden(), 0
    while rule.forbid(n % 30):  # never too many at a place
        n += 1
        if n % 30 == 0:
            rule.accept(0)
    assert n == forbidden.MAX_IN_ALL
