"""Where in a text an answer is taken to be."""

from __future__ import annotations

import pytest

from halfbyte.generation.speculation.follower import Context, Follower, PredictionFollower
from halfbyte.generation.speculation.hit_rates import HitRates
from halfbyte.generation.speculation.ngram_index import NgramIndex

TEXT = list(range(100, 140))


def n_guessed(follower: Follower, answer: list[int]) -> list[int]:
    """Of which ids of an answer the follower guessed another, or nothing."""
    rates, ids, wrong = HitRates(), [1], []
    for i, token in enumerate(answer):
        if follower.draft(1) != [token]:
            wrong.append(i)
        ids.append(token)
        follower.follow(ids, 1, rates)
    return wrong


def test_a_prediction_that_comes_true_is_guessed_from_the_first_id() -> None:
    assert n_guessed(PredictionFollower(TEXT), TEXT) == []


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ([*TEXT[:10], 7, *TEXT[11:]], [10]),  # one other id: that alone
        ([*TEXT[:10], 7, 8, *TEXT[12:]], [10, 11, 12]),  # several
        ([*TEXT[:10], 7, 8, 9, *TEXT[10:]], [10, 11, 12, 13]),  # something put in
        ([*TEXT[:10], *TEXT[20:]], [10, 11]),  # something left out
        ([*TEXT[:10], *TEXT[4:]], [10, 11]),  # something said twice
    ],
)
def test_a_prediction_is_found_again_after_a_difference(
    answer: list[int], wrong: list[int]
) -> None:
    assert n_guessed(PredictionFollower(TEXT), answer) == wrong


def test_of_repeated_parts_the_one_near_the_difference_is_taken() -> None:
    line = [10, 11, 12]
    text = [*line, 20, *line, 21, *line, 22, *line, 23]
    answer = [*line, 20, *line, 7, 8, *line, 22, *line, 23]
    wrong = n_guessed(PredictionFollower(text), answer)
    assert 12 not in wrong and wrong[-1] < 12  # after its third line it is at 22 again


def test_far_away_only_a_long_match_counts() -> None:
    text = [*range(1000, 1300), *TEXT]
    follower = PredictionFollower(text)
    assert n_guessed(follower, [1000, 1001, *TEXT]) == [2, 3, 4, 5, 6]


def test_a_text_is_followed_from_the_second_id_on_and_left_at_a_difference() -> None:
    index = NgramIndex(TEXT)
    index.grow(100)
    wrong = n_guessed(Follower("lookup", index), [5, *TEXT[3:10], 6, *TEXT[12:20]])
    assert wrong == [0, 1, 2, 8, 9, 10]


def test_a_text_that_ends_has_nothing_more() -> None:
    index = NgramIndex(TEXT)
    index.grow(100)
    follower = Follower("lookup", index)
    follower.follow(TEXT[:5], 5, HitRates())
    assert follower.draft(100) == TEXT[5:]
    follower.follow(TEXT, 35, HitRates())
    assert follower.draft(100) == []


def test_what_repeats_itself_is_guessed_to_any_length() -> None:
    ids = [5, 1, 2, 3, 1, 2, 3]
    context = Context(ids)
    context.grow(100)
    follower = Follower("context", context)
    follower.follow(ids, 7, HitRates())
    assert follower.draft(8) == [1, 2, 3, 1, 2, 3, 1, 2]


def test_what_was_right_and_wrong_is_counted_once() -> None:
    rates = HitRates()
    follower, before = PredictionFollower(TEXT), rates.chances("prediction", 4, 3)
    follower.follow([1, *TEXT[:2], 9, 9], 4, rates)
    up, also_up, down = rates.chances("prediction", 4, 3)
    assert (up > before[0], also_up > before[1], down == before[2]) == (True, False, False)
