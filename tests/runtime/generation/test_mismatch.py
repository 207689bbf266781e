"""A short part of a prompt that changed, near its beginning."""

from __future__ import annotations

import random

import pytest

from halfbyte.engine.page_pool import PagePool
from halfbyte.generation.mismatch import Mismatch
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.kernels.layouts.kv_pages import PAGE
from tests.runtime.generation.remembered import LAYOUT, empty, grow

TEXT = random.Random(1).choices(range(1000), k=700)


def mismatch(prompt: list[int], *remembered: list[int]) -> Mismatch | None:
    pool = PagePool(LAYOUT)
    cache = PrefixCache(pool, 1 << 30)
    for tokens in remembered:
        cache.put(tokens, grow(empty(pool), tokens))
    return cache.match(prompt).mismatch


@pytest.mark.parametrize("at", [0, 1, 40, PAGE - 1, PAGE, PAGE + 70])
@pytest.mark.parametrize(("old", "new"), [([], [1]), ([1, 2], [3]), ([5], [6, 7, 8]), ([1], [])])
def test_a_date_is_told(at: int, old: list[int], new: list[int]) -> None:
    before, after = [2000] * at, TEXT
    found = mismatch([*before, *new, *after, 9], [*before, *old, *after])
    assert found == Mismatch(at, len(new), len(after), len(before) + len(old) + len(after))
    assert f"position {at}, for {len(new)} tokens" in str(found)


def test_the_one_that_agrees_for_longest_is_told() -> None:
    prompt = [1, 50, *TEXT]
    short, long = [1, 51, *TEXT[:100], *[7] * 300], [1, 52, *TEXT[:300], *[8] * 50]
    found = mismatch(prompt, long, short, [1, 53] * 90)
    assert found == Mismatch(1, 1, 300, len(long))


@pytest.mark.parametrize(
    ("prompt", "remembered"),
    [
        (TEXT, TEXT),
        (TEXT, TEXT[:300]),
        (TEXT[:300], TEXT),
        ([1, *TEXT[:20]], [2, *TEXT[:20]]),  # what agrees is short
        ([1, *TEXT], [2, *reversed(TEXT)]),
        ([1] * 80 + TEXT, [2, *TEXT]),  # what differs is long
        ([1, *TEXT], [2] * 80 + TEXT),
        ([5], []),
    ],
)
def test_other_differences_are_none(prompt: list[int], remembered: list[int]) -> None:
    assert mismatch(prompt, remembered) is None


def test_only_whole_tokens_agree() -> None:
    """The same bytes, moved by some that are no whole token."""
    tokens = [1 << 8] * 200
    assert mismatch([7, *[1 << 16] * 200], [8, *tokens]) is None
