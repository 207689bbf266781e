"""The cache's pages: growth, truncation, forks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from halfbyte.engine.kv_cache import KVCache
from halfbyte.engine.page_pool import Page, PagePool
from halfbyte.errors import OutOfPagesError
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout, WindowedLayout

LAYOUT = KVLayout(n_layers=2, n_kv_heads=3, head_dim=24, kv_type="f16")
WHOLE = KVLayout(n_layers=1, n_kv_heads=1, head_dim=16, kv_type="f16")
WINDOWED = WindowedLayout.of(
    WHOLE, LAYOUT, (True, False, True), window=200, kept=328, most=6 * PAGE
)


def keys_and_values(page: Page) -> tuple[np.ndarray, np.ndarray]:
    """By head: of 16 positions each, and of one each."""
    heads = page.data.reshape(6, LAYOUT.head_nbytes)
    keys, values = np.split(heads, [PAGE * 24 * 2], axis=1)
    return keys.reshape(6, PAGE // 16, -1), values.reshape(6, PAGE, -1)


def test_layout_counts_keys_and_padded_values() -> None:
    assert LAYOUT.value_dim == 32
    assert LAYOUT.head_nbytes == PAGE * (24 + 32) * 2
    assert LAYOUT.page_nbytes == 2 * 3 * LAYOUT.head_nbytes
    assert [LAYOUT.nbytes(n) // LAYOUT.page_nbytes for n in (0, 1, PAGE, PAGE + 1)] == [0, 1, 1, 2]


def test_reserve_grows_page_by_page_and_lists_addresses() -> None:
    cache = KVCache(PagePool(LAYOUT))
    assert cache.nbytes == 0
    cache.reserve(10 * PAGE + 1)
    assert cache.nbytes == 11 * LAYOUT.page_nbytes
    listed = np.ctypeslib.as_array((np.ctypeslib.ctypes.c_int64 * 11).from_address(cache.tables[0]))
    assert listed.tolist() == [page.address for page in cache.pages]
    cache.reserve(PAGE)
    assert len(cache.pages) == 11


def test_a_cut_frees_whole_pages_only() -> None:
    cache = KVCache(PagePool(LAYOUT))
    cache.reserve(3 * PAGE)
    first, second, _ = cache.pages
    assert cache.cut(PAGE + 1).pages == [first, second]
    assert cache.cut(0).nbytes == 0


def test_fork_shares_full_pages_and_copies_the_begun_one() -> None:
    cache = KVCache(PagePool(LAYOUT))
    cache.reserve(2 * PAGE)
    cache.pages[1].data[:] = 42
    other = cache.fork(PAGE + 3)
    assert other.pages[0] is cache.pages[0]
    assert other.pages[1] is not cache.pages[1]
    keys, values = keys_and_values(other.pages[1])
    assert (keys[:, 0] == 42).all() and (values[:, :3] == 42).all()
    assert not keys[:, 1:].any() and not values[:, 3:].any()
    other.pages[1].data[:] = 1
    assert (cache.pages[1].data == 42).all()
    assert cache.fork(PAGE).pages == cache.pages[:1]


@pytest.mark.parametrize("n", [1, 15, 16, 17, PAGE - 1, PAGE])
def test_a_copy_holds_the_first_positions_as_the_kernels_place_them(n: int) -> None:
    """Keys in vectors of 16 positions, values in rows."""
    pool = PagePool(LAYOUT)
    page = pool.take()
    page.data[:] = np.random.default_rng(n).integers(1, 256, page.data.size)
    (keys, values), (own_keys, own_values) = map(keys_and_values, (page, pool.copy(page, n)))
    n_vectors = -(-n // 16)
    assert (own_keys[:, :n_vectors] == keys[:, :n_vectors]).all()
    assert (own_values[:, :n] == values[:, :n]).all()
    assert not own_keys[:, n_vectors:].any() and not own_values[:, n:].any()


def test_a_cut_copies_a_begun_page_that_others_hold() -> None:
    cache = KVCache(PagePool(LAYOUT))
    cache.reserve(PAGE)
    (page,) = cache.pages
    cache.fork(PAGE)
    assert cache.cut(5).pages != [page]
    assert cache.cut(PAGE).pages == [page]


def test_a_cut_behind_what_others_hold_of_a_begun_page_takes_no_memory() -> None:
    pool = PagePool(LAYOUT)
    cache = KVCache(pool)
    cache.reserve(20)
    (page,) = cache.pages
    page.n_shared, pool.max_nbytes = 7, pool.nbytes
    assert cache.cut(8).pages == cache.cut(7).pages == [page]
    with pytest.raises(OutOfPagesError):
        cache.cut(6)
    assert cache.pages == [page]


def test_what_was_let_go_is_0_in_the_table_and_counts_no_more() -> None:
    pool = PagePool(WINDOWED)
    cache = KVCache(pool)
    cache.reserve(6 * PAGE)
    assert cache.first_cut == 0 and cache.nbytes == pool.nbytes == 6 * WINDOWED.page_nbytes
    cache.let_go(5 * PAGE)
    assert [page is None for page in cache.windowed] == [True] * 2 + [False] * 4
    assert None not in cache.pages and len(cache.pages) == 6
    tables = [(np.ctypeslib.ctypes.c_int64 * 6).from_address(at) for at in cache.tables]
    assert list(tables[0]) == [page.address for page in cache.pages]
    assert list(tables[1]) == [page.address if page else 0 for page in cache.windowed]
    assert cache.nbytes == pool.nbytes == 6 * WINDOWED.page_nbytes - 2 * LAYOUT.page_nbytes
    assert cache.first_cut == 2 * PAGE + 199  # the first page that it sees is 2
    cache.let_go(4 * PAGE)  # nothing comes back
    assert cache.first_cut == 2 * PAGE + 199


def test_forks_and_cuts_have_what_is_left() -> None:
    cache = KVCache(PagePool(WINDOWED))
    cache.reserve(6 * PAGE)
    cache.let_go(5 * PAGE)
    for other in (cache.fork(4 * PAGE + 3), cache.cut(4 * PAGE + 3)):
        assert other.windowed[:4] == cache.windowed[:4] and other.first_cut == cache.first_cut
        assert other.pages[:4] == cache.pages[:4]
        assert len(other.windowed) == len(other.pages) == 5
    fork = cache.fork(4 * PAGE + 3)
    assert fork.windowed[4] is not cache.windowed[4] and fork.pages[4] is not cache.pages[4]
    assert cache.cut(0).first_cut == 0
    with pytest.raises(ValueError, match="let go"):
        cache.fork(PAGE + 1)


def test_the_page_of_sinks_stays() -> None:
    pool = PagePool(replace(WINDOWED, n_sinks=4))
    cache = KVCache(pool)
    cache.reserve(6 * PAGE)
    cache.let_go(3 * PAGE)  # of which the first page alone could go
    assert cache.first_cut == 0 and cache.nbytes == 6 * WINDOWED.page_nbytes
    cache.let_go(5 * PAGE)
    assert [page is None for page in cache.windowed] == [False, True] + [False] * 4
    assert cache.nbytes == pool.nbytes == 6 * WINDOWED.page_nbytes - LAYOUT.page_nbytes
    assert cache.first_cut == 2 * PAGE + 199
    for other in (cache.fork(4 * PAGE + 3), cache.cut(4 * PAGE + 3)):
        assert other.windowed[:4] == cache.windowed[:4] and other.first_cut == cache.first_cut
        assert other.nbytes == 5 * WINDOWED.page_nbytes - LAYOUT.page_nbytes
    gap = [*cache.windowed[:3], None, *cache.windowed[4:]]
    other = KVCache.of_pages(pool, cache.pages, gap, 6 * PAGE)
    assert [page is None for page in other.windowed] == [False] + [True] * 3 + [False] * 2
    assert other.windowed[0] is cache.windowed[0] and other.first_cut == 4 * PAGE + 199
    cache.let_go(6 * PAGE)
    tables = (np.ctypeslib.ctypes.c_int64 * 6).from_address(cache.tables[1])
    assert list(tables) == [page.address if page else 0 for page in cache.windowed]


def test_a_copy_is_of_its_own_block() -> None:
    pool = PagePool(WINDOWED)
    page = pool.take(1)
    page.data[:] = 7
    other = pool.copy(page, PAGE, 1)
    assert (other.data == 7).all() and other.data.nbytes == LAYOUT.page_nbytes
    assert pool.nbytes == 2 * LAYOUT.page_nbytes


def test_pages_before_a_gap_are_left_out() -> None:
    pool = PagePool(WINDOWED)
    cache = KVCache(pool)
    cache.reserve(6 * PAGE)
    gap = [*cache.windowed[:2], None, *cache.windowed[3:]]
    other = KVCache.of_pages(pool, cache.pages, gap, 6 * PAGE)
    assert [page is None for page in other.windowed] == [True] * 3 + [False] * 3
    assert other.first_cut == 3 * PAGE + 199
