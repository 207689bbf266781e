"""What goes first where states cannot be cut back: bounds, what is thinned, what is kept."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.engine.page_pool import PagePool
from halfbyte.generation import snapshots
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import packed
from halfbyte.generation.retention import snapshot_value
from tests.runtime.generation.remembered import (
    LAYOUT,
    PAGE_SIZE,
    STATES,
    empty,
    grow,
    held,
    pool_of_states,
)
from tests.runtime.generation.test_prefix_cache import Prompt, trees

LARGE = 24 * PAGE_SIZE  # of a state, as Qwen3.5-35B-A3B's is


def large_states() -> PagePool:
    return PagePool(LAYOUT, states=replace(STATES, state_nbytes=LARGE))


def put(
    cache: PrefixCache, tokens: list[int], *positions: int, likely: tuple[int, ...] = ()
) -> int:
    """Have tokens processed, with snapshots on the way; how many were known."""
    sequence = cache.match(tokens).sequence
    n_known = sequence.n_past
    for n in sorted({*positions, *likely, len(tokens)}):
        if n_known < n <= len(tokens):
            new = n - sequence.n_past
            sequence.reserve(new)
            sequence.append(new)
            cache.put(tokens, sequence, is_likely=n in likely)
    return n_known


def kept(cache: PrefixCache) -> list[int]:
    return sorted(n for node in cache.nodes() for n in node.snapshots)


@given(trees, st.integers(0, 9000), st.integers(0, 9000))
@settings(max_examples=30)
def test_bounds_hold_and_nothing_is_left_that_is_of_no_use(
    prompts: list[Prompt], max_nbytes: int, wanted: int
) -> None:
    pool = pool_of_states()
    cache = PrefixCache(pool, max_nbytes * 4)
    known: list[list[int]] = []
    for prompt in prompts:
        tokens = prompt.tokens(known)
        sequence = cache.match(tokens).sequence
        n_before, n_known = held(sequence), sequence.n_past
        assert n_before == tokens[:n_known]
        for n in range(min(n_known + 90, len(tokens)), len(tokens) + 1, 90):
            cache.put(tokens, grow(sequence, tokens[sequence.n_past : n]))
        del sequence
        known.append(tokens)
        assert cache.nbytes == pool.nbytes == sum(n.nbytes for n in cache.nodes())
        assert cache.nbytes <= cache.max_nbytes
    before = cache.nbytes
    freed = cache.shrink(wanted)
    assert before - cache.nbytes == freed >= min(wanted, before)
    if freed:
        assert all(node.children or node.snapshots for node in cache.nodes())


def test_a_long_prompts_snapshots_do_not_push_out_another_prompt() -> None:
    cache = PrefixCache(large_states(), 10 * LARGE)
    put(cache, [1] * 2000, *range(512, 2000, 512))
    put(cache, [2] * 6000, *range(512, 6000, 512))
    assert {2000, 6000} <= set(kept(cache)) and cache.nbytes <= 10 * LARGE
    assert put(cache, [1] * 2001) == 2000


def test_the_one_nearest_to_its_neighbours_goes_first() -> None:
    cache = PrefixCache(large_states(), 100 * LARGE)
    put(cache, [1] * 4000, 1000, 1100, 2000, 3000)
    left = [set(kept(cache))]
    while cache.nbytes:
        cache.shrink(1)
        left.append(set(kept(cache)))
    gone = [before - after for before, after in pairwise(left)]
    assert gone == [{1100}, {1000}, {3000}, {2000}, {4000}]


def test_what_is_worth_more_once_its_neighbour_went_stays() -> None:
    cache = PrefixCache(large_states(), 100 * LARGE)
    put(cache, [1] * 4000, 300, 2000, 2010)
    cache.shrink(2 * LARGE)
    assert kept(cache) == [2000, 4000]


def test_ends_of_turns_outlast_what_was_taken_on_the_way() -> None:
    cache = PrefixCache(large_states(), 4 * LARGE)
    put(cache, [1] * 4000, *range(512, 4000, 512), likely=(600, 3900))
    assert set(kept(cache)) == {600, 3900} or {600, 3900, 4000} >= set(kept(cache)) > {3900}


def test_pages_behind_the_last_snapshot_go_before_anything_else() -> None:
    cache = PrefixCache(pool_of_states(), 100 * PAGE_SIZE)
    sequence = grow(empty(cache.pool), [1] * 100)
    cache.put([1] * 100, sequence)
    sequence.reserve(300, 150)  # guesses that came true are no snapshot yet
    sequence.append(300)
    cache.put([1] * 400, sequence)
    assert kept(cache) == [100, 250]
    del sequence
    assert [node.end for node in cache.nodes()] == [128, 256, 384, 400]
    cache.shrink(1)
    assert kept(cache) == [100, 250] and max(node.end for node in cache.nodes()) == 256


class LRU:
    """As many snapshots, of which the one goes that was used longest ago."""

    def __init__(self, n_most: int) -> None:
        self.n_most, self.kept = n_most, OrderedDict[bytes, None]()

    def known(self, tokens: list[int], positions: list[int]) -> int:
        data = packed(tokens)
        n_known = max(
            (len(k) // 4 for k in self.kept if len(k) < len(data) and data.startswith(k)),
            default=0,
        )
        for n in sorted({*positions, len(tokens), n_known} - {0}):
            if n >= n_known:
                self.kept[data[: 4 * n]] = None
                self.kept.move_to_end(data[: 4 * n])
        while len(self.kept) > self.n_most:
            self.kept.popitem(last=False)
        return n_known


def test_a_conversation_outlasts_what_is_asked_between_its_turns() -> None:
    """With room for eight large snapshots: ten turns, after each of them nine side requests."""
    rng = random.Random(1)
    text = lambda n: rng.choices(range(50_000), k=n)  # noqa: E731
    cache, lru = PrefixCache(large_states(), 10 * LARGE), LRU(9)
    system = text(400)
    talk, ours, theirs, known, n_before = system + text(3000), 0, 0, 0, 0
    for _ in range(10):
        marks, on_the_way = (400, len(talk)), list(range(512, len(talk), 512))
        prompt = talk + text(4)
        got = put(cache, prompt + text(100), *on_the_way, len(prompt), likely=marks)
        ours += got
        theirs += lru.known(prompt, [*on_the_way, *marks])
        known += n_before
        assert got == n_before
        for _ in range(9):
            side = system + text(rng.randrange(100, 300))
            assert put(cache, side, likely=(400,)) == 400
            theirs += lru.known(side, [400])
            known += 400
            ours += 400
        n_before = len(talk)
        talk = talk + text(300)
    assert ours > 0.95 * known and ours > 1.5 * theirs


def test_values() -> None:
    cache = PrefixCache(pool_of_states(), 1 << 40)
    put(cache, [1] * 1000, 400, 600, likely=(800,))
    nodes = {n: node for node in cache.nodes() for n in node.snapshots}
    now = 1000
    by_n = {n: snapshot_value(node, n, now, node.snapshots[n].nbytes) for n, node in nodes.items()}
    size = nodes[600].snapshots[600].state.nbytes
    assert by_n[600] == 600 * 200 * (200 / (8 * 800)) / (1024 + now - 600) / size
    assert by_n[800] == 800 * 200 / (1024 + now - 800) / size
    assert snapshots.behind(nodes[1000], 1000) is None
    assert by_n[1000] == 1000 * 200 / 1024 / (size + PAGE_SIZE)
