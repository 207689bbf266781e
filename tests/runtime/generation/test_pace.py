"""How many tokens of prompts fit in a step beside answers."""

from __future__ import annotations

import pytest

from halfbyte.generation.pace import Pace

N = 3  # rows of answers


def paced(decode_s: float, token_s: float) -> Pace:
    pace = Pace()
    for _ in range(20):
        pace.learn(N, 0, decode_s)
        pace.learn(N, 64, decode_s + 64 * token_s)
    return pace


def test_a_fast_model_has_fifty_milliseconds() -> None:
    n = paced(0.005, 0.0004).n_beside(N)
    assert 0.045 <= 0.005 + n * 0.0004 <= 0.050


def test_a_slow_model_has_three_steps_that_decode() -> None:
    n = paced(0.130, 0.010).n_beside(N)
    assert 3 * 0.130 - 8 * 0.010 <= 0.130 + n * 0.010 <= 3 * 0.130


def test_prompts_alone_tell_their_speed_too() -> None:
    pace = Pace()
    pace.learn(0, 256, 0.256)
    assert pace.n_beside(0) == 48


def test_there_is_always_one() -> None:
    assert paced(0.1, 5.0).n_beside(N) == 1
    assert Pace().n_beside(0) >= 1


@pytest.mark.parametrize("n", [1, 7])
def test_a_few_tokens_of_a_prompt_say_nothing_of_its_speed(n: int) -> None:
    pace = paced(0.130, 0.010)
    before = pace.n_beside(N)
    pace.learn(0, n, 9.0)
    assert pace.n_beside(N) == before


def test_guesses_have_what_answers_leave_or_a_tenth_where_prompts_fill_the_step() -> None:
    pace = paced(0.010, 0.001)
    assert pace.guessing_s(N, has_prompts=False) == pytest.approx(0.040)
    assert pace.guessing_s(N, has_prompts=True) == pytest.approx(0.005)
    assert (pace.n_beside(N), pace.n_beside(N, 0.005), pace.n_beside(N, 1.0)) == (37, 33, 1)


def test_the_last_tile_of_rows_is_full() -> None:
    pace = paced(0.010, 0.001)
    for n_guesses in range(5):
        n = pace.n_beside(N, n_guesses=n_guesses)
        assert (N + n_guesses + n) % 4 == 0 and 36 < n <= 40
    assert paced(0.130, 0.018).n_beside(N) == 14  # a few more are worth more


def test_one_slow_step_changes_nothing() -> None:
    pace = paced(0.010, 0.001)
    for n_prompt in (64, 0):
        pace.learn(N, n_prompt, 9.0)
        assert pace.n_beside(N) == 37 and pace.beside_s(N) == pytest.approx(0.050)


def test_what_slow_steps_taught_is_forgotten_though_prompts_get_a_few_tokens_only() -> None:
    pace = paced(0.010, 0.020)
    assert pace.n_beside(N) == 2
    for _ in range(40):
        n = pace.n_beside(N)
        pace.learn(N, n, 0.010 + n * 0.001)
    assert pace.n_beside(N) == 37


def test_what_a_step_without_prompts_takes_is_learned_though_there_are_always_some() -> None:
    pace = paced(0.500, 0.001)
    for _ in range(40):
        pace.learn(N, 40, 0.050)
    assert pace.beside_s(N) <= 3 * 0.050 and 1 <= pace.n_beside(N) <= 104


def test_where_there_are_always_prompts_a_step_without_them_tells_what_it_takes() -> None:
    """Else a slow model's prompts would get what fits into fifty milliseconds for ever."""
    pace = Pace()
    pace.learn(0, 256, 256 * 0.010)
    asked = []
    for _ in range(200):
        asked.append(pace.n_beside(1))
        pace.learn(1, asked[-1], 0.100 + asked[-1] * 0.010)
    assert asked.count(0) == 4 and asked[0] == 0 and min(asked[1:60]) in (19, 20)


def test_many_answers_take_longer_than_one() -> None:
    pace = paced(0.130, 0.010)
    pace.learn(8, 0, 0.260)
    assert pace.n_beside(8) == 52 and pace.n_beside(N) in (25, 26)
    assert pace.beside_s(9) == pytest.approx(3 * 0.260)
    assert pace.beside_s(32) == pace.beside_s(8)  # until it is known
