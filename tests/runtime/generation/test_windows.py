"""Prompts of models whose layers have windows: where they go on, and what is let go first."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.sequence import Sequence
from halfbyte.generation import windows
from halfbyte.generation.leaving import LeavingWindow
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import Node, packed
from halfbyte.kernels.layouts.kv_pages import PAGE, WindowedLayout
from tests.runtime.generation.remembered import (
    PAGE_SIZE,
    WINDOW,
    WINDOWED,
    WITH_SINKS,
    empty,
    grow,
    held,
    n_common,
)
from tests.runtime.generation.test_prefix_cache import PLENTY, Prompt, trees


def new_cache(max_nbytes: int = PLENTY, layout: WindowedLayout = WINDOWED) -> PrefixCache:
    return PrefixCache(PagePool(layout), max_nbytes)


def remember(cache: PrefixCache, tokens: list[int], *, step: int = 2 * PAGE) -> Sequence:
    """As a request does: step by step, from what is known."""
    sequence = cache.match(tokens).sequence
    assert held(sequence) == tokens[: sequence.n_past]
    while sequence.n_past < len(tokens):
        grow(sequence, tokens[sequence.n_past :][:step])
        cache.put(tokens, sequence)
    return sequence


def ids(seed: int, n: int) -> list[int]:
    return random.Random(seed).choices(range(1000), k=n)


def blocks_of(cache: PrefixCache, tokens: list[int]) -> list[bool]:
    """Along a path, whether each page's block of layers with a window is there."""
    path = sorted(cache.nodes(), key=lambda node: node.end)
    return [n.window is not None for n in path if n.tokens in bytes_of(tokens)]


def bytes_of(tokens: list[int]) -> set[bytes]:
    return {packed(tokens[i : i + PAGE]) for i in range(0, len(tokens), PAGE)}


@given(trees, st.sampled_from([WINDOWED, WITH_SINKS]))
@settings(max_examples=30, deadline=None)
def test_with_room_a_hit_ends_anywhere(prompts: list[Prompt], layout: WindowedLayout) -> None:
    cache = new_cache(layout=layout)
    known: list[list[int]] = []
    for prompt in prompts:
        tokens = prompt.tokens(known)
        expected = max((n_common(tokens[:-1], other) for other in known), default=0)
        assert cache.n_known(tokens) == cache.match(tokens).n_reused == expected
        remember(cache, tokens)
        known.append(tokens)
    assert cache.nbytes == cache.pool.nbytes == sum(node.nbytes for node in cache.nodes())
    for tokens in known:
        assert held(cache.match([*tokens, 0]).sequence) == tokens


@given(trees, st.integers(0, 12), st.integers(0, 4), st.sampled_from([WINDOWED, WITH_SINKS]))
@settings(max_examples=35, deadline=None)
def test_within_a_bound_what_is_found_is_right(
    prompts: list[Prompt], n_pages: int, n_freed: int, layout: WindowedLayout
) -> None:
    cache = new_cache(n_pages * PAGE_SIZE, layout)
    known: list[list[int]] = []
    for prompt in prompts:
        tokens = prompt.tokens(known)
        n_known = cache.n_known(tokens)
        match = cache.match(tokens)
        assert match.n_reused == n_known <= match.n_agreed
        assert held(match.sequence) == tokens[:n_known]
        del match
        remember(cache, tokens)
        known.append(tokens)
        assert cache.nbytes == sum(node.nbytes for node in cache.nodes()) <= cache.max_nbytes
        assert cache.nbytes == cache.pool.nbytes
        cache.shrink(n_freed * PAGE_SIZE)


def test_blocks_that_no_place_needs_go_first() -> None:
    cache, tokens = new_cache(), ids(1, 20 * PAGE)
    sequence = grow(empty(cache.pool), tokens[: 4 * PAGE])
    cache.put(tokens, sequence, is_likely=True)
    cache.put(tokens, grow(sequence, tokens[4 * PAGE :]))
    del sequence
    n = len(blocks_of(cache, tokens))
    assert n == 20 and all(blocks_of(cache, tokens))
    cache.max_nbytes = (20 + 6) * PAGE_SIZE
    other = ids(2, 1)
    cache.put(other, grow(empty(cache.pool), other))
    kept = blocks_of(cache, tokens)
    n_seen = -(-WINDOW // PAGE) + 1
    assert all(kept[-n_seen + 1 :]) and all(kept[4 - n_seen + 1 : 4])
    assert sum(kept) == 4  # two before either place
    assert cache.match([*tokens, 0]).n_reused == 20 * PAGE
    assert cache.match([*tokens[: 4 * PAGE], 1000]).n_reused == 4 * PAGE
    assert cache.match([*tokens[: 9 * PAGE], 1000]).n_reused == 4 * PAGE
    assert cache.match([*tokens[: 9 * PAGE], 1000]).n_agreed == 9 * PAGE
    assert cache.n_known([*tokens[: 2 * PAGE], 1000]) == 0


def test_a_place_that_goes_takes_what_nobody_else_needs() -> None:
    cache, tokens = new_cache(), ids(1, 10 * PAGE)
    sequence = grow(empty(cache.pool), tokens[: 4 * PAGE])
    cache.put(tokens, sequence, is_likely=True)
    cache.put(tokens, grow(sequence, tokens[4 * PAGE :]))
    del sequence
    for n_left in (13, 10, 4, 0):
        cache.max_nbytes = n_left * PAGE_SIZE
        cache.put(ids(2, 1), grow(empty(cache.pool), ids(2, 1)))
        assert cache.nbytes == cache.pool.nbytes <= cache.max_nbytes


def test_a_place_that_needs_nothing_can_be_compared() -> None:
    """A window of 1: the position behind a full page sees nothing of it."""
    cache, tokens = PrefixCache(PagePool(replace(WINDOWED, window=1)), PLENTY), ids(1, 400)
    sequence = empty(cache.pool)
    while sequence.n_past < len(tokens):
        cache.put(tokens, grow(sequence, tokens[sequence.n_past :][:PAGE]))
    cache.max_nbytes = 3 * PAGE_SIZE
    cache.put(tokens, sequence)
    assert cache.nbytes <= cache.max_nbytes


def test_all_that_a_place_needs_leaves_for_the_disk_with_it() -> None:
    """Also what another place keeps, which goes later and is not kept on the disk."""
    cache, tokens, told = new_cache(), ids(1, 1000), set[str]()
    cache.tell_drops(lambda leaving: told.add(leaving.name))
    sequence = grow(empty(cache.pool), tokens[:300])
    cache.put(tokens, sequence, is_likely=True)
    cache.put(tokens, grow(sequence, tokens[300:380]))
    cache.put(tokens, grow(sequence, tokens[380:]))
    del sequence
    path = sorted(cache.nodes(), key=lambda node: node.end)
    path[2].snapshots[380].n_uses = 1000
    needed = {LeavingWindow.of(node).name for node in windows.seen(path[2], 300, WINDOWED)}
    cache.max_nbytes = cache.nbytes - 4 * PAGE_SIZE  # three that nobody needs, and the first
    cache.put(ids(2, 1), empty(cache.pool))
    cache.put(tokens, cache.match(tokens).sequence)
    assert list(path[2].snapshots) == [380] and len(needed) == 3 and needed <= told


def test_a_hit_notes_where_it_was() -> None:
    cache, tokens = new_cache(), ids(1, 500)
    remember(cache, tokens)
    cache.match([*tokens[:300], 1000])
    (node,) = [node for node in cache.nodes() if node.begin < 300 <= node.end]
    assert node.snapshots[300].is_likely and not node.snapshots[300].nbytes


def test_a_hit_at_a_place_on_the_way_makes_it_a_likely_one() -> None:
    cache, tokens = new_cache(), ids(1, 500)
    remember(cache, tokens)
    (node,) = [node for node in cache.nodes() if node.end == 2 * PAGE]
    assert not node.snapshots[2 * PAGE].is_likely
    assert cache.match([*tokens[: 2 * PAGE], 1000]).n_reused == 2 * PAGE
    assert node.snapshots[2 * PAGE].is_likely and node.snapshots[2 * PAGE].n_uses == 2


def test_likely_places_are_noted_where_they_are() -> None:
    cache, tokens = new_cache(), ids(1, 500)
    cache.put(tokens, grow(empty(cache.pool), tokens), likely=[5, 128, 129, 400])
    nodes = sorted(cache.nodes(), key=lambda node: node.end)
    assert [sorted(node.snapshots) for node in nodes] == [[5, 128], [129], [], [400, 500]]


@pytest.mark.parametrize("n, first", [(1, 0), (199, 0), (327, 1), (328, 1), (500, 2)])
def test_what_a_place_needs(n: int, first: int) -> None:
    cache, tokens = new_cache(), ids(1, 500)
    remember(cache, tokens)
    (node,) = [node for node in cache.nodes() if node.begin < n <= node.end]
    seen = list(windows.seen(node, n, WINDOWED))
    assert [one.begin // PAGE for one in seen] == list(range((n - 1) // PAGE, first - 1, -1))
    assert windows.is_usable(node, n, WINDOWED)
    seen[-1].window = None
    assert not windows.is_usable(node, n, WINDOWED)


def test_sinks_are_needed_wherever_a_prompt_goes_on() -> None:
    cache, tokens = new_cache(layout=WITH_SINKS), ids(1, 20 * PAGE)
    remember(cache, tokens)
    path = sorted(cache.nodes(), key=lambda node: node.end)
    for n, pages in ((100, [0]), (500, [3, 2, 0]), (20 * PAGE, [19, 18, 0])):
        node = path[(n - 1) // PAGE]
        assert [one.begin // PAGE for one in windows.seen(node, n, WITH_SINKS)] == pages
    cache.max_nbytes = (20 + 6) * PAGE_SIZE
    cache.put(ids(2, 1), grow(empty(cache.pool), ids(2, 1)))
    kept = blocks_of(cache, tokens)
    assert kept[0] and kept[18:] == [True, True] and sum(kept) < 7
    assert cache.match([*tokens, 0]).n_reused == 20 * PAGE
    path[0].window = None
    assert cache.n_known([*tokens, 0]) == cache.match([*tokens, 0]).n_reused == 0


def test_memory_that_is_missing_for_a_copy_leaves_whole_pages() -> None:
    cache, tokens = new_cache(), ids(1, 500)
    remember(cache, tokens)
    cache.pool.max_nbytes = cache.pool.nbytes
    assert cache.match(tokens).n_reused == 3 * PAGE
    path: list[Any] = sorted(cache.nodes(), key=lambda node: node.end)
    assert isinstance(path[0], Node)
    path[1].window = None
    assert cache.match(tokens).n_reused == PAGE


def test_a_page_whose_block_is_there_is_of_no_use_without_the_one_before() -> None:
    cache, tokens = new_cache(), ids(1, 500)
    remember(cache, tokens)
    path = sorted(cache.nodes(), key=lambda node: node.end)
    path[2].window = None
    assert cache.n_known([*tokens, 0]) == 2 * PAGE
    path[1].window = None
    assert cache.n_known([*tokens, 0]) == PAGE


def test_a_block_that_a_sequence_gives_is_not_written_again() -> None:
    cache, tokens = new_cache(), ids(1, 300)
    remember(cache, tokens)
    for node in cache.nodes():
        cache._forest.drop_window(node)
    assert cache.n_known([*tokens, 0]) == 0 and cache.nbytes == 3 * PAGE_SIZE
    other = grow(empty(cache.pool), tokens)
    cache.put(tokens, other)
    other.truncate(280)
    grow(other, ids(2, 20))
    assert held(cache.match([*tokens, 0]).sequence) == tokens
