"""Blocks of layers with windows on disk: what a process that comes later goes on from."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halfbyte.engine.page_pool import PagePool
from halfbyte.errors import CacheFileError
from halfbyte.generation import saved_cache
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.kernels.layouts.kv_pages import PAGE, WindowedLayout
from tests.runtime.generation.on_disk import Cache, files, found
from tests.runtime.generation.remembered import (
    PAGE_SIZE,
    WINDOW,
    WINDOWED,
    WITH_SINKS,
    empty,
    grow,
    held,
)
from tests.runtime.generation.test_cache_file import BINDING
from tests.runtime.generation.test_prefix_cache import PLENTY, Prompt, new_cache, trees


def new(path: Path, n_pages: int = 200, layout: WindowedLayout = WINDOWED) -> Cache:
    return Cache(path, n_pages, pool=PagePool(layout))


def remember(cache: Cache, tokens: list[int], *likely: int) -> None:
    sequence = empty(cache.pool)
    for end in range(2 * PAGE, len(tokens) + 2 * PAGE, 2 * PAGE):
        grow(sequence, tokens[sequence.n_past : end])
        here = [n for n in likely if n <= sequence.n_past]
        cache.memory.put(tokens, sequence, likely=here)


def window_files(path: Path) -> list[Path]:
    return [file for file in files(path) if file.suffix == ".window"]


def ids(seed: int, n: int) -> list[int]:
    return random.Random(seed).choices(range(1000), k=n)


@given(trees, st.sampled_from([3, 8, 200]), st.sampled_from([WINDOWED, WITH_SINKS]))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_with_a_small_memory_what_is_found_is_right(
    tmp_path: Path, prompts: list[Prompt], n_pages: int, layout: WindowedLayout
) -> None:
    """`found` compares what is seen next with the tokens."""
    path = tmp_path / str(time.monotonic_ns())
    cache, known = new(path, n_pages, layout), list[list[int]]()
    for i, prompt in enumerate(prompts):
        tokens = prompt.tokens(known)
        match = found(cache, tokens)
        sequence = match.sequence
        while sequence.n_past < len(tokens):
            grow(sequence, tokens[sequence.n_past :][: 2 * PAGE])
            cache.memory.put(tokens, sequence)
        del match, sequence
        known.append(tokens)
        cache.wait()
        assert cache.memory.nbytes == cache.pool.nbytes <= n_pages * PAGE_SIZE
        if i % 3 == 2:  # a new process
            cache.flush()
            cache = new(path, n_pages, layout)


def test_after_a_restart_a_prompt_goes_on_from_ends_and_likely_places(tmp_path: Path) -> None:
    cache, tokens = new(tmp_path), ids(1, 2000)
    remember(cache, tokens, 1000)
    cache.flush()
    assert len(files(tmp_path)) == 16 + 4 and len(window_files(tmp_path)) == 4
    asked = (2001, 2000), (1200, 8 * PAGE), (1001, 1000), (500, 0)
    for n, expected in asked:
        match = found(new(tmp_path), [*tokens[: n - 1], 1001])
        assert match.n_agreed == n - 1
        assert match.n_reused == expected
    again, steps = new(tmp_path), 0
    while again.load_next([*tokens[:1000], 1001]):
        steps += 1
    assert steps == 8 + 2  # pages, and the blocks that position 1000 sees anything of
    assert again.memory.nbytes == again.pool.nbytes == (8 + 2) * PAGE_SIZE
    assert not again.load_next([*tokens[:1000], 1001])
    again.memory.clear()
    assert found(again, [*tokens[:1000], 1001]).n_reused == 1000  # the same once more


def test_the_block_of_sinks_comes_from_the_disk_too(tmp_path: Path) -> None:
    cache, tokens = new(tmp_path, layout=WITH_SINKS), ids(1, 2000)
    remember(cache, tokens, 1000)
    cache.flush()
    assert len(window_files(tmp_path)) == 4 + 1
    for n, expected in ((2001, 2000), (1200, 8 * PAGE), (1001, 1000), (500, PAGE)):
        match = found(new(tmp_path, layout=WITH_SINKS), [*tokens[: n - 1], 1001])
        assert match.n_reused == expected


def test_a_block_that_is_damaged_or_gone_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache, tokens = new(tmp_path), ids(1, 600)
    remember(cache, tokens, 300)
    cache.flush()
    last = max(window_files(tmp_path), key=lambda path: -path.stat().st_mtime_ns)
    last.write_bytes(last.read_bytes()[:-1])
    for _ in range(2):
        assert found(new(tmp_path), [*tokens, 0]).n_reused == 4 * PAGE
        assert "of no use" in caplog.text and not last.exists()


def test_where_there_is_no_room_loading_ends(tmp_path: Path) -> None:
    cache, tokens = new(tmp_path), ids(1, 2000)
    remember(cache, tokens)
    cache.flush()
    for n_pages in (0, 1, 2, 16, 17, 19):
        again = new(tmp_path, n_pages)
        match = found(again, [*tokens, 0])
        assert match.n_reused in (0, 2000)
        del match
        again.wait()
        assert again.memory.nbytes == again.pool.nbytes <= n_pages * PAGE_SIZE
    again = new(tmp_path)
    again.pool.max_nbytes = 17 * PAGE_SIZE
    assert found(again, [*tokens, 0]).n_reused == 0


def test_in_a_full_memory_others_make_room_for_what_is_loaded(tmp_path: Path) -> None:
    """Block by block: before the last one is there, nobody can go on from it."""
    cache, tokens = new(tmp_path), ids(1, 2000)
    remember(cache, tokens)
    cache.flush()
    for n_pages in range(24, 34):
        again = new(tmp_path, n_pages)
        for seed in range(2, 6):
            remember(again, ids(seed, 600))
        again.wait()
        assert found(again, [*tokens, 0]).n_reused == 2000
        again.wait()
        assert again.memory.nbytes == again.pool.nbytes <= n_pages * PAGE_SIZE


def test_what_a_file_of_all_holds_is_loaded(tmp_path: Path) -> None:
    path, pool = tmp_path / "file", PagePool(WINDOWED)
    cache, tokens = Cache(tmp_path / "folder", 200, pool=pool), ids(1, 900)
    remember(cache, tokens)
    saved_cache.save(cache.memory, path, BINDING)
    for _ in range(2):
        other = PrefixCache(PagePool(WINDOWED), PLENTY)
        for _ in range(2):  # twice: nothing is held twice
            saved_cache.load(other, path, BINDING)
            assert other.nbytes == other.pool.nbytes == cache.memory.nbytes
        for n in (900, 800, 300, 200):
            match = other.match([*tokens[:n], 1001])
            assert match.n_reused == n and held(match.sequence) == tokens[:n]
        del match
    plain, _ = new_cache()
    with pytest.raises(CacheFileError):
        saved_cache.load(plain, path, BINDING)


def test_the_window_is_longer_than_a_page() -> None:
    assert PAGE < WINDOW < 2 * PAGE  # as the numbers above have it
