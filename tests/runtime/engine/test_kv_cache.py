"""The cache's pages: growth, truncation, forks."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.engine.kv_cache import KVCache, Page
from halfbyte.errors import EngineError
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout

LAYOUT = KVLayout(n_layers=2, n_kv_heads=3, head_dim=24, kv_type="f16")


def page_bytes(page: Page) -> np.ndarray:
    at = page.address - int(page._memory.ctypes.data)
    return page._memory[at : at + LAYOUT.page_nbytes]


def test_layout_counts_keys_and_padded_values() -> None:
    assert LAYOUT.value_dim == 32
    assert LAYOUT.head_nbytes == PAGE * (24 + 32) * 2
    assert LAYOUT.page_nbytes == 2 * 3 * LAYOUT.head_nbytes
    assert [LAYOUT.nbytes(n) // LAYOUT.page_nbytes for n in (0, 1, PAGE, PAGE + 1)] == [0, 1, 1, 2]


def test_pages_are_zero_and_aligned() -> None:
    page = Page(LAYOUT.page_nbytes)
    assert page.address % 64 == 0
    assert not page_bytes(page).any()


def test_reserve_grows_page_by_page_and_lists_addresses() -> None:
    cache = KVCache(LAYOUT)
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
    cache = KVCache(LAYOUT)
    cache.reserve(3 * PAGE)
    first, second, _ = cache._pages
    assert cache.cut(PAGE + 1)._pages == [first, second]
    assert cache.cut(0).nbytes == 0


def test_fork_shares_full_pages_and_copies_the_begun_one() -> None:
    cache = KVCache(LAYOUT)
    cache.reserve(2 * PAGE)
    page_bytes(cache._pages[1])[:] = 42
    other = cache.fork(PAGE + 3)
    assert other._pages[0] is cache._pages[0]
    assert other._pages[1] is not cache._pages[1]
    assert (page_bytes(other._pages[1]) == 42).all()
    page_bytes(other._pages[1])[:] = 1
    assert (page_bytes(cache._pages[1]) == 42).all()
    assert cache.fork(PAGE)._pages == cache._pages[:1]


def test_memory_that_does_not_exist_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="KV cache"):
        Page(1 << 60)
