"""How many tokens of prompts fit in a step beside answers."""

from __future__ import annotations

import pytest

from halfbyte.generation.pace import Pace


def paced(decode_s: float, token_s: float) -> Pace:
    pace = Pace()
    for _ in range(20):
        pace.learn(3, 0, decode_s)
        pace.learn(3, 64, decode_s + 64 * token_s)
    return pace


def test_a_fast_model_has_fifty_milliseconds() -> None:
    n = paced(0.005, 0.0004).n_beside()
    assert 0.045 <= 0.005 + n * 0.0004 <= 0.050


def test_a_slow_model_has_three_steps_that_decode() -> None:
    n = paced(0.130, 0.010).n_beside()
    assert 3 * 0.130 - 8 * 0.010 <= 0.130 + n * 0.010 <= 3 * 0.130


def test_prompts_alone_tell_their_speed_too() -> None:
    pace = Pace()
    pace.learn(0, 256, 0.256)
    assert pace.n_beside() == 48


def test_there_is_always_one() -> None:
    assert paced(0.1, 5.0).n_beside() == 1
    assert Pace().n_beside() >= 1


@pytest.mark.parametrize("n", [1, 7])
def test_a_few_tokens_of_a_prompt_say_nothing_of_its_speed(n: int) -> None:
    pace = paced(0.130, 0.010)
    before = pace.n_beside()
    pace.learn(0, n, 9.0)
    assert pace.n_beside() == before


def test_guesses_have_what_answers_leave_or_a_tenth_where_prompts_fill_the_step() -> None:
    pace = paced(0.010, 0.001)
    assert pace.guessing_s(has_prompts=False) == pytest.approx(0.040)
    assert pace.guessing_s(has_prompts=True) == pytest.approx(0.005)
    assert (pace.n_beside(), pace.n_beside(0.005), pace.n_beside(1.0)) == (40, 32, 1)


def test_one_slow_step_changes_nothing() -> None:
    pace = paced(0.010, 0.001)
    for n_prompt in (64, 0):
        pace.learn(3, n_prompt, 9.0)
        assert pace.n_beside() == 40 and pace.beside_s == pytest.approx(0.050)


def test_what_slow_steps_taught_is_forgotten_though_prompts_get_a_few_tokens_only() -> None:
    pace = paced(0.010, 0.020)
    assert pace.n_beside() == 2
    for _ in range(40):
        n = pace.n_beside()
        pace.learn(3, n, 0.010 + n * 0.001)
    assert pace.n_beside() == 40


def test_what_a_step_without_prompts_takes_is_learned_though_there_are_always_some() -> None:
    pace = paced(0.500, 0.001)
    for _ in range(40):
        pace.learn(3, 40, 0.050)
    assert pace.beside_s <= 3 * 0.050 and 1 <= pace.n_beside() <= 104
