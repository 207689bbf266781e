"""Where the end of ids has occurred before, against a search that looks everywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from halfbyte.generation.speculation.ngram_index import GAP, N_LEAST, NgramIndex

IDS = st.lists(st.integers(0, 3), max_size=40)


def indexed(ids: list[int], n_at_once: int = 1000) -> NgramIndex:
    made = NgramIndex(ids)
    for _ in range(0, len(ids) + 1, n_at_once):
        made.grow(n_at_once)
    return made


def longest(text: list[int], ids: list[int]) -> tuple[int, int]:
    """The same by trying every place."""
    best = -1, N_LEAST - 1
    for place in range(len(text)):
        n = 0
        while n < min(place, len(ids), 16) and text[place - 1 - n] == ids[-1 - n]:
            n += 1
        if n >= best[1] and n >= N_LEAST and text[place] != GAP:
            best = place, n
    return best if best[0] >= 0 else (-1, 0)


@given(st.lists(st.integers(-1, 3), max_size=18), IDS, st.integers(1, 7))
def test_the_longest_match_is_found_of_equals_the_latest(
    text: list[int], ids: list[int], n_at_once: int
) -> None:
    assert indexed(text, n_at_once).find(ids) == longest(text, ids)


def test_ids_of_any_size_are_told_apart() -> None:
    big = 1 << 30
    assert indexed([big, 2, 3, 4, 0, 2, 3, 5]).find([big, 2, 3]) == (3, 3)
    # The same key: 1 << 20 is in the bits of the id before.
    assert indexed([3, 7, 4]).find([2, 7 + (1 << 20)]) == (-1, 0)


def test_what_has_grown_behind_the_index_is_no_match_yet() -> None:
    text = [1, 2, 3, 4]
    made = indexed(text)
    text += [5, 6, 7, 8]
    assert made.find([5, 6, 7]) == (-1, 0)
    made.grow(100)
    assert made.find([5, 6, 7]) == (7, 3)
    assert made.find([2, 3, 4]) == (4, 3)  # something follows now


def test_what_follows_ends_at_a_gap() -> None:
    made = indexed([1, 2, 3, GAP, 4])
    assert (made.after(1, 9), made.after(1, 1), made.after(4, 9)) == ([2, 3], [2], [4])
