"""What a step of so many rows is taken to cost."""

from __future__ import annotations

import pytest

from halfbyte.generation.speculation.step_costs import StepCosts


def test_what_was_seen_is_known_and_between_is_between() -> None:
    costs = StepCosts()
    assert not costs.is_known
    for n_rows, seconds in ((1, 0.010), (8, 0.017), (16, 0.041)):
        costs.learn(n_rows, seconds)
    assert costs.is_known
    expected = {1: 0.010, 4: 0.013, 8: 0.017, 12: 0.029, 16: 0.041}
    assert {n: costs.seconds(n) for n in expected} == pytest.approx(expected)


def test_beyond_what_was_seen_a_row_costs_what_a_prompts_token_does() -> None:
    costs = StepCosts()
    costs.learn(2, 0.010)
    assert costs.seconds(12) == pytest.approx(0.020)
    costs.learn_prompt(256, 0.512)
    assert costs.seconds(12) == pytest.approx(0.030)
    assert costs.seconds(1) == 0.010


def test_a_row_more_needs_experts_of_its_own_until_it_is_known() -> None:
    costs = StepCosts(expert_share=0.6)
    costs.learn(1, 0.010)
    assert costs.seconds(3) == pytest.approx(0.016)  # half of them are others
    costs.learn_prompt(256, 0.256)  # whose rows share them
    assert costs.seconds(3) == pytest.approx(0.016)
    costs.learn(3, 0.012)
    assert costs.seconds(3) == 0.012


def test_a_bad_moment_is_no_measure() -> None:
    costs = StepCosts()
    for seconds in (0.010, 0.500, 0.011, 0.010, 0.009):
        costs.learn(1, seconds)
    assert costs.seconds(1) == 0.010


def test_what_was_only_seen_long_ago_is_tried_again() -> None:
    costs = StepCosts()
    costs.learn(8, 9.0)
    for _ in range(100):
        costs.learn(1, 0.010)
    assert costs.seconds(8) < 0.1
    assert costs.seconds(1) == 0.010


def test_a_slower_time_is_learned() -> None:
    costs = StepCosts()
    for seconds in [0.010] * 50 + [0.030] * 4:
        costs.learn(1, seconds)
    assert costs.seconds(1) == 0.030
