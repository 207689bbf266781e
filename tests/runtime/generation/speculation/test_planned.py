"""How long a draft is worth its rows."""

from __future__ import annotations

import math

import pytest

from halfbyte.generation.speculation.planned import Planned
from halfbyte.generation.speculation.step_costs import StepCosts


def step_of(costs: dict[int, float], **more: float) -> Planned:
    known = StepCosts()
    for n_rows, seconds in costs.items():
        known.learn(n_rows, seconds)
    step = Planned(known, 1, 1.0, 64, more.pop("extra_s", math.inf))
    step.spend(more.pop("spent_s", 0.0))
    return step


def test_it_goes_on_as_long_as_that_gives_more_tokens_a_second() -> None:
    step = step_of({1: 0.010, 101: 0.110})  # a tenth of a step for a row
    assert step.best_length([0.9] * 30, math.inf)[0] == 11
    assert step.best_length([0.6] * 30, math.inf)[0] == 3
    n, n_tokens = step.best_length([0.9] * 3, math.inf)
    assert (n, n_tokens) == (3, pytest.approx(0.9 + 0.81 + 0.729))
    assert step.best_length([0.1] * 30, math.inf) == (0, 0.0)
    assert step.best_length([], math.inf) == (0, 0.0)


def test_it_keeps_within_its_limits() -> None:
    step = step_of({1: 0.010, 101: 0.110})
    assert step.best_length([1.0] * 60, 0.0045)[0] == 4
    step.room = 3
    assert step.best_length([1.0] * 60, math.inf)[0] == 3
    assert step_of({1: 0.010, 101: 0.110}, extra_s=0.0025).best_length([1.0] * 9, math.inf)[0] == 2


def test_what_guesses_have_cost_already_is_no_reason_against_their_rows() -> None:
    costs = {1: 0.010, 11: 0.110}  # a row is as long as a step
    assert step_of(costs).best_length([0.9], math.inf)[0] == 0
    assert step_of(costs, spent_s=0.010).best_length([0.9], math.inf)[0] == 1


def test_what_is_added_is_counted() -> None:
    step = step_of({1: 0.010, 101: 0.110}, extra_s=0.010)
    step.add(4, 3.5)
    assert (step.n_rows, step.n_tokens, step.room) == (5, 4.5, 60)
    assert step.extra_s == pytest.approx(0.006)
    assert step.plain_s == pytest.approx(0.014)
