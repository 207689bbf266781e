"""How much may be lost on guesses."""

from __future__ import annotations

import pytest

from halfbyte.generation.speculation.credit import Credit


def test_who_never_gains_loses_two_steps_in_a_hundred_at_most() -> None:
    credit, lost = Credit(), 0.0
    for _ in range(100):
        credit.settle(0)
        if credit.n_steps >= 0.3:
            credit.pay(0.3)
            lost += 0.3
    assert 0.9 < lost <= 2.0


def test_gains_allow_more_but_not_for_ever() -> None:
    credit, before = Credit(), Credit().n_steps
    credit.pay(1.0)
    credit.settle(3)
    assert credit.n_steps == pytest.approx(before + 2.0, abs=0.01)
    credit.settle(3)  # none is new
    assert credit.n_steps == pytest.approx(before + 2.0, abs=0.02)
    credit.settle(1000)
    assert credit.n_steps < 20
