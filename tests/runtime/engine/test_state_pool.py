"""Memory of states: aligned, counted as long as anybody holds it, and free from any thread."""

from __future__ import annotations

import gc
import threading

import pytest

from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.state_layout import StateLayout
from halfbyte.engine.state_pool import StatePool
from halfbyte.errors import EngineError, OutOfPagesError
from halfbyte.kernels.layouts.kv_pages import KVLayout

LAYOUT = StateLayout({0: 0, 3: 1}, state_nbytes=128, row_nbytes=64)
PAGES = KVLayout(n_layers=1, n_kv_heads=1, head_dim=16, kv_type="f16")


def pool_of(max_nbytes: int | None = None) -> StatePool:
    states = PagePool(PAGES, max_nbytes, LAYOUT).states
    assert states is not None
    return states


def test_blocks_are_aligned_and_as_large_as_all_layers() -> None:
    block = pool_of().block()
    assert block.address % 64 == 0 and block.address == block.data.ctypes.data
    assert block.nbytes == block.data.nbytes == 256 and not block.data.any()
    assert [pool_of().journal(n).nbytes for n in (1, 2, 3, 5)] == [128, 256, 512, 1024]
    assert LAYOUT.words(3) == {"state_at": 128, "kept_at": 64, "token_nbytes": 128}


def test_what_is_dropped_is_taken_again() -> None:
    pool = pool_of()
    first, second = pool.block(), pool.block()
    address = first.address
    assert pool.nbytes == 512
    del first
    assert pool.nbytes == 256
    assert pool.block().address == address
    del second
    pool.trim(0)
    assert pool.nbytes == 0


def test_free_memory_is_given_back_but_for_some() -> None:
    pool = pool_of()
    blocks = [pool.block() for _ in range(8)]
    addresses = {block.address for block in blocks}
    blocks.clear()
    pool.trim(3)
    again = [pool.block() for _ in range(3)]
    assert {block.address for block in again} <= addresses
    assert len(pool._by_size[256]._all) == 3


def test_any_thread_may_drop_the_last_reference() -> None:
    """In the middle of a collection too."""
    pool = pool_of()

    def work() -> None:
        for i in range(400):
            held = [pool.block(), pool.journal(1 + i % 3)]
            held.append(held)  # type: ignore[arg-type]
            if i % 50 == 0:
                pool.trim(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert pool.nbytes == 0
    held = [pool.block() for _ in range(20)]
    assert len({block.address for block in held}) == 20
    assert pool.nbytes == 20 * 256


def test_states_and_pages_have_one_bound() -> None:
    pages = PagePool(PAGES, PAGES.page_nbytes + 256, LAYOUT)
    assert pages.states is not None
    held = [pages.take(), pages.states.block()]
    assert pages.nbytes == PAGES.page_nbytes + 256
    for take in (pages.take, pages.states.block, lambda: pages.states.journal(1)):
        with pytest.raises(OutOfPagesError, match="bound"):
            take()
    held.pop()
    assert pages.states.block().nbytes == 256


def test_memory_that_does_not_exist_is_an_engine_error() -> None:
    pool = StatePool(StateLayout({0: 0}, 1 << 60, 64), lambda nbytes: None)
    with pytest.raises(EngineError, match="states of recurrent layers"):
        pool.block()
    assert pool.nbytes == 0
