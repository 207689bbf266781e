"""Pages: zeros, aligned, counted as long as anybody holds them, refused above a bound."""

from __future__ import annotations

import threading

import pytest

from halfbyte.engine.kv_cache import KVCache
from halfbyte.engine.page_pool import Page, PagePool
from halfbyte.engine.sequence import Sequence
from halfbyte.errors import EngineError, OutOfPagesError
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout

LAYOUT = KVLayout(n_layers=2, n_kv_heads=3, head_dim=24, kv_type="f16")
SIZE = LAYOUT.page_nbytes


def test_pages_are_zero_and_aligned() -> None:
    page = PagePool(LAYOUT).take()
    assert page.address % 64 == 0 and page.address == page.data.ctypes.data
    assert page.data.nbytes == SIZE and not page.data.any()


def test_memory_that_does_not_exist_is_an_engine_error() -> None:
    pool = PagePool(KVLayout(1 << 20, 1 << 20, 1 << 10, "f32"))
    with pytest.raises(EngineError, match="KV cache"):
        pool.take()
    assert pool.nbytes == 0
    with pytest.raises(EngineError, match="KV cache"):
        Page(1 << 60)


def test_a_page_counts_once_and_as_long_as_somebody_holds_it() -> None:
    pool = PagePool(LAYOUT)
    sequence = Sequence(KVCache(pool))
    sequence.reserve(2 * PAGE + 5)
    sequence.append(2 * PAGE + 5)
    assert pool.nbytes == 3 * SIZE
    fork = sequence.fork(2 * PAGE)
    assert pool.nbytes == 3 * SIZE
    other = sequence.fork(2 * PAGE + 1)
    assert pool.nbytes == 4 * SIZE
    del sequence
    assert pool.nbytes == 3 * SIZE
    del other
    assert pool.nbytes == 2 * SIZE
    fork.truncate(1)
    assert pool.nbytes == SIZE  # a copy: the first page was shared
    del fork
    assert pool.nbytes == 0


def test_the_bound_is_an_error_that_leaves_all_as_it_was() -> None:
    pool = PagePool(LAYOUT, max_nbytes=2 * SIZE + SIZE // 2)
    sequence = Sequence(KVCache(pool))
    sequence.reserve(2 * PAGE)
    sequence.append(2 * PAGE)
    with pytest.raises(OutOfPagesError, match="bound") as caught:
        sequence.reserve(1)
    assert (caught.value.nbytes, caught.value.max_nbytes) == (2 * SIZE, pool.max_nbytes)
    with pytest.raises(OutOfPagesError):
        sequence.fork(PAGE + 1)
    assert (sequence.n_past, pool.nbytes) == (2 * PAGE, 2 * SIZE)
    pool.max_nbytes = None
    sequence.reserve(1)
    assert pool.nbytes == 3 * SIZE


def test_pages_that_die_in_other_threads_are_counted() -> None:
    pool = PagePool(LAYOUT)
    kept = []

    def work() -> None:
        for _ in range(200):
            pages = [pool.take() for _ in range(5)]
            kept.append(pages.pop())
            del pages

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.nbytes == len(kept) * SIZE == 800 * SIZE
    kept.clear()
    assert pool.nbytes == 0
