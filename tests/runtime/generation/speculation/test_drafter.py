"""Of several texts, the guess that is right most likely."""

from __future__ import annotations

from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.speculation.pool import Pool

PROMPT = [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_longest_match_counts() -> None:
    drafter = Drafter(lookup=[[4, 5, 6, 10], [3, 4, 5, 6, 7, 11], [7, 7, 7]])
    draft = drafter.draft([*PROMPT[:7]], 7, 5, Pool())
    assert draft is not None
    assert draft.ids == [11]
    assert len(draft.chances) == 1


def test_a_prediction_goes_before_what_the_prompt_repeats() -> None:
    ids = [*PROMPT, 1, 2, 3]
    draft = Drafter([20, 21, 22]).draft(ids, len(ids), 2, Pool())
    assert draft is not None and draft.ids == [20, 21]


def test_the_prompt_and_the_answer_are_looked_into() -> None:
    drafter, pool, ids = Drafter(), Pool(), [*PROMPT, 1, 2, 3]
    draft = drafter.draft(ids, 10, 4, pool)
    assert draft is not None and draft.ids == [4, 5, 6, 7]
    ids += [4, 5, 30, 31, 1, 2, 3, 4, 5]
    draft = drafter.draft(ids, 10, 2, pool)
    assert draft is not None and draft.ids == [30, 31]  # the latest


def test_the_pool_is_shared() -> None:
    pool = Pool()
    pool.add([50, 51, 52, 53])
    draft = Drafter().draft([9, 50, 51, 52], 4, 3, pool)
    assert draft is not None and draft.ids == [53]
    assert Drafter().draft([9, 51, 50], 3, 3, pool) is None


def test_nothing_is_asked_beyond_what_is_wanted() -> None:
    drafter = Drafter(PROMPT)
    draft = drafter.draft([0], 1, 3, Pool())
    assert draft is not None and draft.ids == PROMPT[:3] and len(draft.chances) == 3
