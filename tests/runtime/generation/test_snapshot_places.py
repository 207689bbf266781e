"""Where on the way through a prompt snapshots are taken."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.generation.snapshot_places import LEAST, places

END, OTHER_END = 2, 3


def prompt(*turns: int) -> list[int]:
    """Turns of so many tokens, each with its end; then what asks for an answer."""
    return [token for n in turns for token in (*[7] * (n - 1), END)] + [8, 8, 8]


def test_a_chat_has_the_ends_of_its_first_message_and_of_the_last_two() -> None:
    ids = prompt(100, 200, 300, 400)
    assert places(ids, 0, 0, {END, OTHER_END}) == [100, 600, 1000]
    assert places(ids, 0, 0, {OTHER_END}) == places(ids, 0, 0, ()) == [1002]
    assert places(ids, 600, 0, {END}) == [1000]
    assert places(ids, 990, 0, {END}) == []  # a step more would cost more than it could save
    assert places(ids, 1002, 0, {END}) == []


def test_where_a_prompt_leaves_another_and_where_others_wait() -> None:
    ids = prompt(1000)
    assert places(ids, 0, 450, {END}) == [450, 1000]
    assert places(ids, 440, 450, {END}) == [1000]
    assert places(ids, 0, len(ids), ()) == [1002]
    assert places(ids, 980, 0, ()) == []
    assert places(ids, 0, 0, {END}, n_shared=1001) == [1000, 1001]
    assert places(ids, 1001, 0, {END}, n_shared=1001) == []


@given(
    st.lists(st.sampled_from([1, 1, 1, 1, 1, 1, END]), max_size=400),
    st.integers(0, 400), st.integers(0, 400), st.integers(0, 400),
)  # fmt: skip
@settings(max_examples=100)
def test_places_are_few_lie_apart_and_in_what_is_new(
    ids: list[int], begin: int, n_agreed: int, n_shared: int
) -> None:
    found = places(ids, begin, n_agreed, {END}, n_shared)
    assert found == sorted(set(found)) and len(found) <= 6
    assert all(begin < place < len(ids) for place in found)
    near = [b for a, b in zip([begin, *found], found, strict=False) if b - a < LEAST]
    assert set(near) <= {n_shared}
    assert n_shared in found or not begin < n_shared < len(ids)
    others = n_agreed, n_shared, len(ids) - 1
    assert all(place in others or ids[place - 1] == END for place in found)
