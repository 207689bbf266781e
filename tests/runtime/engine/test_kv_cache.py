"""The cache's pages: growth, truncation, forks."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.engine.kv_cache import KVCache
from halfbyte.engine.page_pool import Page, PagePool
from halfbyte.errors import OutOfPagesError
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout

LAYOUT = KVLayout(n_layers=2, n_kv_heads=3, head_dim=24, kv_type="f16")


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
    listed = np.ctypeslib.as_array(
        (np.ctypeslib.ctypes.c_int64 * 11).from_address(cache.page_addresses)
    )
    assert listed.tolist() == [page.address for page in cache._pages]
    cache.reserve(PAGE)
    assert len(cache._pages) == 11


def test_a_cut_frees_whole_pages_only() -> None:
    cache = KVCache(PagePool(LAYOUT))
    cache.reserve(3 * PAGE)
    first, second, _ = cache._pages
    assert cache.cut(PAGE + 1)._pages == [first, second]
    assert cache.cut(0).nbytes == 0


def test_fork_shares_full_pages_and_copies_the_begun_one() -> None:
    cache = KVCache(PagePool(LAYOUT))
    cache.reserve(2 * PAGE)
    cache._pages[1].data[:] = 42
    other = cache.fork(PAGE + 3)
    assert other._pages[0] is cache._pages[0]
    assert other._pages[1] is not cache._pages[1]
    keys, values = keys_and_values(other._pages[1])
    assert (keys[:, 0] == 42).all() and (values[:, :3] == 42).all()
    assert not keys[:, 1:].any() and not values[:, 3:].any()
    other._pages[1].data[:] = 1
    assert (cache._pages[1].data == 42).all()
    assert cache.fork(PAGE)._pages == cache._pages[:1]


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
    (page,) = cache._pages
    cache.fork(PAGE)
    assert cache.cut(5)._pages != [page]
    assert cache.cut(PAGE)._pages == [page]


def test_a_cut_behind_what_others_hold_of_a_begun_page_takes_no_memory() -> None:
    pool = PagePool(LAYOUT)
    cache = KVCache(pool)
    cache.reserve(20)
    (page,) = cache._pages
    page.n_shared, pool.max_nbytes = 7, pool.nbytes
    assert cache.cut(8)._pages == cache.cut(7)._pages == [page]
    with pytest.raises(OutOfPagesError):
        cache.cut(6)
    assert cache._pages == [page]
