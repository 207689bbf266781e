"""The prefix cache: what is found, what it holds, and that a hit never changes a bit."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.sequence import Sequence
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.pool import Pool
from tests.runtime.engine.small_models import SHAPES, build, run
from tests.runtime.generation.remembered import (
    LAYOUT,
    PAGE_SIZE,
    STATE_SIZE,
    empty,
    grow,
    held,
    n_common,
    pool_of_states,
)

PLENTY = 1 << 40


def new_cache(max_nbytes: int = PLENTY) -> tuple[PrefixCache, PagePool]:
    pool = PagePool(LAYOUT)
    return PrefixCache(pool, max_nbytes), pool


@dataclass(frozen=True)
class Prompt:
    """The beginning of an earlier one, and what comes behind."""

    earlier: int
    n_kept: int
    seed: int
    n_new: int

    def tokens(self, before: list[list[int]]) -> list[int]:
        kept = before[self.earlier % len(before)][: self.n_kept] if before else []
        return kept + random.Random(self.seed).choices(range(3), k=self.n_new)


lengths = st.sampled_from([0, 1, 2, 60, PAGE - 1, PAGE, PAGE + 1, 200, 2 * PAGE, 300])
trees = st.lists(
    st.builds(Prompt, st.integers(0, 9), lengths, st.integers(0, 3), lengths),
    min_size=1,
    max_size=8,
)


@given(trees)
@settings(max_examples=40)
def test_the_longest_known_prefix_is_found(prompts: list[Prompt]) -> None:
    cache, pool = new_cache()
    known: list[list[int]] = []
    for prompt in prompts:
        tokens = prompt.tokens(known)
        match = cache.match(tokens)
        expected = max((n_common(tokens[:-1], other) for other in known), default=0)
        assert match.n_reused == match.n_agreed == expected
        assert held(match.sequence) == tokens[:expected]
        grow(match.sequence, tokens[expected:])
        cache.put(tokens, match.sequence)
        known.append(tokens)
    del match
    assert cache.nbytes == pool.nbytes
    for tokens in known:
        assert held(cache.match([*tokens, 0]).sequence) == tokens


@given(trees, st.integers(0, 6 * PAGE_SIZE), st.integers(0, 3 * PAGE_SIZE))
@settings(max_examples=40)
def test_within_any_bound_what_is_found_is_right(
    prompts: list[Prompt], max_nbytes: int, wanted: int
) -> None:
    cache, pool = new_cache(max_nbytes)
    known: list[list[int]] = []
    for prompt in prompts:
        tokens = prompt.tokens(known)
        sequence = cache.match(tokens).sequence
        assert held(sequence) == tokens[: sequence.n_past]
        grow(sequence, tokens[sequence.n_past :])
        cache.put(tokens, sequence)
        del sequence
        known.append(tokens)
        assert cache.nbytes == pool.nbytes == PAGE_SIZE * len([*cache.nodes()]) <= max_nbytes
    before = cache.nbytes
    freed = cache.shrink(wanted)
    assert before - cache.nbytes == freed >= min(wanted, before)
    assert freed < wanted + PAGE_SIZE
    cache.clear()
    assert cache.nbytes == pool.nbytes == 0


def test_a_sequence_goes_on_after_it_was_put() -> None:
    """The begun page is shared: what is written behind, or cut away, is not what is remembered."""
    cache, pool = new_cache()
    first = grow(empty(pool), [1] * 140)
    cache.put([1] * 140, first)
    assert cache.nbytes == pool.nbytes == 2 * PAGE_SIZE
    grow(first, [2] * 10)
    assert held(cache.match([1] * 150).sequence) == [1] * 140
    first.truncate(130)
    grow(first, [3] * 20)
    assert held(first) == [1] * 130 + [3] * 20
    assert held(cache.match([1] * 150).sequence) == [1] * 140
    cache.put(held(first), first)
    assert cache.nbytes == 3 * PAGE_SIZE
    assert held(cache.match([*held(first), 0]).sequence) == held(first)
    assert held(cache.match([1] * 150).sequence) == [1] * 140


def test_a_page_that_grew_replaces_what_it_was() -> None:
    cache, pool = new_cache()
    sequence = grow(empty(pool), [1] * 10)
    for _ in range(20):
        cache.put(held(sequence), sequence)
        grow(sequence, [2] * 11)
    assert cache.nbytes == 2 * PAGE_SIZE
    cache.put([1] * 5, grow(empty(pool), [1] * 5))
    assert cache.nbytes == 2 * PAGE_SIZE


def test_equal_pages_of_two_sequences_are_held_once() -> None:
    cache, pool = new_cache()
    for _ in range(2):
        cache.put([1] * 200, grow(empty(pool), [1] * 200))
    assert cache.nbytes == pool.nbytes == 2 * PAGE_SIZE


def test_tokens_may_be_more_than_the_sequence_holds_and_any_sequence() -> None:
    cache, pool = new_cache()
    cache.put(np.arange(150), grow(empty(pool), range(140)))
    assert cache.match(tuple(range(150))).n_reused == 140
    assert cache.match(np.arange(50, dtype=np.int64)).n_reused == 49
    for tokens in ([], [0]):
        assert cache.match(tokens).n_reused == 0


def test_adapters_do_not_share() -> None:
    cache, pool = new_cache()
    cache.put([1, 2, 3], grow(empty(pool), [1, 2, 3]), adapter="a")
    assert cache.match([1, 2, 3, 4]).n_reused == 0
    assert cache.match([1, 2, 3, 4], adapter="a").n_reused == 3


def test_pages_of_running_sequences_are_counted_but_free_nothing() -> None:
    cache, pool = new_cache()
    cache.put([1] * PAGE, grow(empty(pool), [1] * PAGE))
    running = cache.match([1] * 200).sequence
    assert cache.nbytes == pool.nbytes == PAGE_SIZE
    assert cache.shrink(1) == 0
    assert (cache.nbytes, pool.nbytes) == (0, PAGE_SIZE)
    assert held(running) == [1] * PAGE


def test_without_room_for_a_copy_the_full_pages_are_found() -> None:
    cache, pool = new_cache()
    cache.put([1] * 200, grow(empty(pool), [1] * 200))
    pool.max_nbytes = pool.nbytes
    match = cache.match([1] * 300)
    assert (match.n_reused, match.n_agreed) == (PAGE, 200)
    assert held(match.sequence) == [1] * PAGE


@given(trees, st.lists(lengths, max_size=4), st.one_of(st.just(PLENTY), st.integers(0, 9000)))
@settings(max_examples=40)
def test_states_that_cannot_be_cut_back_are_found_where_they_were_kept(
    prompts: list[Prompt], positions: list[int], max_nbytes: int
) -> None:
    pool = pool_of_states()
    cache = PrefixCache(pool, max_nbytes * 4)
    known: list[list[int]] = []
    kept: list[list[int]] = []
    for prompt in prompts:
        tokens = prompt.tokens(known)
        match = cache.match(tokens)
        fits = (len(k) for k in kept if tokens[:-1][: len(k)] == k)
        expected = max(fits, default=0)
        if max_nbytes == PLENTY:
            assert match.n_reused == expected
            shared = max((n_common(tokens[:-1], other) for other in known), default=0)
            assert match.n_agreed == shared
        assert match.n_reused <= expected
        assert held(match.sequence) == tokens[: match.n_reused]
        sequence = match.sequence
        for n in sorted({*positions, len(tokens)}):
            if sequence.n_past < n <= len(tokens):
                cache.put(tokens, grow(sequence, tokens[sequence.n_past : n]))
                kept.append(tokens[:n])
        known.append(tokens)
        del match, sequence
        assert cache.nbytes == sum(node.nbytes for node in cache.nodes()) <= max_nbytes * 4
        assert pool.nbytes == cache.nbytes


def test_a_snapshot_is_held_once_and_takes_no_memory() -> None:
    pool = pool_of_states()
    cache = PrefixCache(pool, PLENTY)
    sequence = grow(empty(pool), [1] * 9)
    for _ in range(2):
        cache.put([1] * 9, sequence)
        assert cache.nbytes == pool.nbytes == PAGE_SIZE + STATE_SIZE
    pool.max_nbytes = pool.nbytes + STATE_SIZE
    cache.put([1] * 12, grow(sequence, [1] * 3))
    assert cache.nbytes == pool.nbytes == pool.max_nbytes
    assert cache.match([1] * 20).n_reused == 0  # there is no page for a copy of the begun one
    pool.max_nbytes = None
    assert [cache.match([1] * n).n_reused for n in (20, 12, 9)] == [12, 9, 0]


@pytest.mark.parametrize("shape", ["F32", "Q4_0", "window", "Qwen2"])
def test_a_hit_changes_no_bit(shape: str, threads: Pool) -> None:
    """Random trees of prompts, in chunks, with what was decoded, evicted and cut between."""
    engine = build(SHAPES[shape], threads).engine(threads)

    @given(trees, st.sampled_from([PLENTY, 3]), st.integers(0, 5))
    @settings(max_examples=6, deadline=None)
    def check(prompts: list[Prompt], n_pages: int, n_cut: int) -> None:
        max_nbytes = n_pages * engine.layout.page_nbytes
        cache = PrefixCache(engine.pages, max_nbytes)
        known: list[list[int]] = []
        for prompt in prompts[:5]:
            tokens = prompt.tokens(known) or [1]
            sequence: Sequence = cache.match(tokens).sequence
            rest = len(tokens) - sequence.n_past
            chunks = [*[100] * (rest // 100), *([rest % 100] if rest % 100 else [])]
            got = run(engine, tokens[-rest:], chunks, sequence)
            cache.put(tokens, sequence)
            if n_cut:
                sequence.truncate(max(len(tokens) - n_cut, 0))
                run(engine, [2] * 7, [7], sequence)
            whole = [min(256, len(tokens) - i) for i in range(0, len(tokens), 256)]
            expected = run(engine, tokens, whole)
            assert (got == expected[-rest:]).all()
            known.append(tokens)

    check()
    engine.close()
