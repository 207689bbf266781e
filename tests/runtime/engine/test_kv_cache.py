"""The cache's pages: growth, truncation, forks."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.engine.kv_cache import Page, Sequence
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
    sequence = Sequence(LAYOUT)
    assert sequence.nbytes == 0
    sequence.reserve(10 * PAGE + 1)
    assert sequence.nbytes == 11 * LAYOUT.page_nbytes
    listed = np.ctypeslib.as_array(
        (np.ctypeslib.ctypes.c_int64 * 11).from_address(sequence.page_addresses)
    )
    assert listed.tolist() == [page.address for page in sequence._pages]
    sequence.reserve(PAGE)
    assert len(sequence._pages) == 11


def test_truncate_frees_whole_pages_only() -> None:
    sequence = Sequence(LAYOUT)
    sequence.reserve(3 * PAGE)
    sequence.n_past = 2 * PAGE + 5
    first, second, _ = sequence._pages
    sequence.truncate(PAGE + 1)
    assert sequence.n_past == PAGE + 1
    assert sequence._pages == [first, second]
    sequence.truncate(5 * PAGE)
    assert sequence.n_past == PAGE + 1
    sequence.truncate(0)
    assert sequence.nbytes == 0


def test_fork_shares_full_pages_and_copies_the_begun_one() -> None:
    sequence = Sequence(LAYOUT)
    sequence.reserve(2 * PAGE)
    sequence.n_past = PAGE + 7
    page_bytes(sequence._pages[1])[:] = 42
    other = sequence.fork(PAGE + 3)
    assert other.n_past == PAGE + 3
    assert other._pages[0] is sequence._pages[0]
    assert other._pages[1] is not sequence._pages[1]
    assert (page_bytes(other._pages[1]) == 42).all()
    page_bytes(other._pages[1])[:] = 1
    assert (page_bytes(sequence._pages[1]) == 42).all()
    assert sequence.fork(PAGE)._pages == sequence._pages[:1]


def test_memory_that_does_not_exist_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="KV cache"):
        Page(1 << 60)
