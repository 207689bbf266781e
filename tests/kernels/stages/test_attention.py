"""Attention against float64, and `==` between all ways of taking the queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout
from halfbyte.kernels.stages.attention import (
    MAX_ROWS,
    NO_WINDOW,
    attention_kernel,
    merge_kernel,
    pages_kernel,
    partial_nbytes,
    query_block,
    scratch_floats,
)

Call = Callable[..., None]
DTYPES = {"f16": np.float16, "f32": np.float32}
# Every kind of row end (multiples of 32 and 16, neither), every group, both caches.
SHAPES = [
    ("f16", 16, 1), ("f32", 18, 2), ("f16", 24, 3), ("f16", 64, 3),
    ("f32", 80, 8), ("f16", 128, 1), ("f32", 64, 1), ("f16", 128, 8),
]  # fmt: skip
N_POSITIONS = 300


@dataclass
class Cache:
    """Random keys and values of one sequence, as floats and as pages of two heads."""

    layout: KVLayout
    keys: np.ndarray  # (S, G, D), as the cache rounds them
    values: np.ndarray
    pages: np.ndarray
    addresses: np.ndarray


def _cache(kv_type: str, d: int, n: int, seed: int, scale: float = 1) -> Cache:
    layout, dtype = KVLayout(1, 2, d, kv_type), DTYPES[kv_type]
    rng = np.random.default_rng(seed)
    keys, values = (rng.standard_normal((n, 2, d)).astype(dtype) for _ in range(2))
    keys = (keys * dtype(scale)).astype(dtype)
    n_pages = -(-n // PAGE)
    pages = np.zeros((n_pages, 2, layout.head_nbytes // np.dtype(dtype).itemsize), dtype)
    split = PAGE * d
    for position in range(n):
        page, slot = divmod(position, PAGE)
        for head in range(2):
            one = pages[page, head]
            one[:split].reshape(PAGE // 16, d, 16)[slot // 16, :, slot % 16] = keys[position, head]
            one[split:].reshape(PAGE, -1)[slot, :d] = values[position, head]
    addresses = pages.ctypes.data + np.arange(n_pages, dtype=np.int64) * pages.strides[0]
    return Cache(layout, keys.astype("f4"), values.astype("f4"), pages, addresses)


def _attend(
    call: Call, cache: Cache, q: np.ndarray, first: int, chunks: Sequence[int], window: int = 0,
    sinks: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Attention of q (T, 2 heads x group, D) in chunks of queries; junk lies in all scratch."""
    layout, (n, n_heads, d) = cache.layout, q.shape
    group = n_heads // 2
    kernel = attention_kernel(layout.kv_type, d, layout.value_dim, group)
    rng = np.random.default_rng(0)
    scratch = rng.standard_normal(scratch_floats(layout.value_dim)).astype(np.float32)
    rows = np.zeros((n + 1, n_heads * d), np.float32)  # loads go up to 31 floats past a head
    rows[:n] = q.reshape(n, -1)
    out = np.full((n + 1, n_heads * d), np.nan, np.float32)
    at = 0
    assert sum(chunks) == n
    for chunk in chunks:
        for head in range(2):
            where = at * rows.strides[0] + head * group * d * 4
            call(kernel, rows.ctypes.data + where, rows.strides[0], chunk, first + at,
                 window or NO_WINDOW, cache.addresses, head * layout.head_nbytes,
                 out.ctypes.data + where, out.strides[0], scratch,
                 0 if sinks is None else sinks[head * group :], 0)  # fmt: skip
        at += chunk
    assert np.isnan(out[n]).all()
    return out[:n].reshape(q.shape)


def _queries(n: int, group: int, d: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 2 * group, d)).astype(np.float32)


def _even(n: int, size: int) -> list[int]:
    return [min(size, n - i) for i in range(0, n, size)]


@pytest.mark.parametrize("kv_type, d, group", SHAPES)
def test_close_to_float64_across_page_borders(
    call: Call, naive: ModuleType, kv_type: str, d: int, group: int
) -> None:
    cache = _cache(kv_type, d, N_POSITIONS, seed=d)
    q = _queries(N_POSITIONS, group, d, seed=group)
    got = _attend(call, cache, q, 0, _even(N_POSITIONS, query_block(group)))
    exact = naive.attention(q, cache.keys, cache.values, 0)
    # Scores of size ~4 with sqrt(d) roundings of their own, exp within 2 units, sums over the
    # keys: all far below 1e-5 of values of size 1.
    assert np.abs(got - exact).max() < 3e-6


@pytest.mark.parametrize("kv_type, d, group", SHAPES)
@pytest.mark.parametrize("first", [0, 100, 127, 128, 129, 255])
def test_any_chunking_of_queries_gives_the_same_bits(
    call: Call, kv_type: str, d: int, group: int, first: int
) -> None:
    n = min(45, N_POSITIONS - first)
    cache = _cache(kv_type, d, first + n, seed=1)
    q = _queries(n, group, d, seed=2)
    one_by_one = _attend(call, cache, q, first, [1] * n)
    for size in {2, 3, 7, query_block(group)}:
        if size <= query_block(group):
            assert (_attend(call, cache, q, first, _even(n, size)) == one_by_one).all(), size


@pytest.mark.parametrize("kv_type, d, group", SHAPES[1:3])
@pytest.mark.parametrize("window", [1, 37, 128, 260])
def test_a_window_hides_what_lies_before_it(
    call: Call, naive: ModuleType, kv_type: str, d: int, group: int, window: int
) -> None:
    cache = _cache(kv_type, d, N_POSITIONS, seed=8)
    q = _queries(N_POSITIONS, group, d, seed=9)
    exact = naive.attention(q, cache.keys, cache.values, 0, window)
    one_by_one = _attend(call, cache, q, 0, [1] * N_POSITIONS, window)
    assert np.abs(one_by_one - exact).max() < 3e-6
    for size in (5, query_block(group)):
        chunks = _even(N_POSITIONS, size)
        assert (_attend(call, cache, q, 0, chunks, window) == one_by_one).all(), size
    if window <= PAGE:  # pages before the window are not even read
        cache.addresses[0] = 0
        tail = _attend(call, cache, q[2 * PAGE :], 2 * PAGE, [1] * (N_POSITIONS - 2 * PAGE), window)
        assert (tail == one_by_one[2 * PAGE :]).all()


def test_a_sink_takes_part_in_the_softmax_alone(call: Call, naive: ModuleType) -> None:
    """As a key of that score would, whose value is 0; one far below all scores changes no bit."""
    kv_type, d, group = SHAPES[1]
    cache = _cache(kv_type, d, N_POSITIONS, seed=8)
    q = _queries(N_POSITIONS, group, d, seed=9)
    sinks = np.linspace(-3, 8, 2 * group, dtype=np.float32)
    got = _attend(call, cache, q, 0, _even(N_POSITIONS, query_block(group)), 37, sinks)
    assert (_attend(call, cache, q, 0, [1] * N_POSITIONS, 37, sinks) == got).all()
    none = _attend(call, cache, q, 0, [1] * N_POSITIONS, 37)
    far = np.full_like(sinks, -1000)
    assert (_attend(call, cache, q, 0, [1] * N_POSITIONS, 37, far) == none).all()
    keys = cache.keys.repeat(group, 1).astype(np.float64)
    scores = np.einsum("thd,shd->hts", q.astype(np.float64), keys) / np.sqrt(d)
    back = np.arange(N_POSITIONS)[:, None] - np.arange(N_POSITIONS)
    sums = np.where((back < 0) | (back >= 37), 0, np.exp(scores)).sum(-1)
    share = sums / (sums + np.exp(sinks.astype(np.float64))[:, None])
    exact = naive.attention(q, cache.keys, cache.values, 0, 37) * share.T[:, :, None]
    assert np.abs(got - exact).max() < 3e-6


def _attend_in_splits(
    call: Call, cache: Cache, q: np.ndarray, position: int, borders: Sequence[int], window: int,
    sinks: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Attention of queries (T, 2 heads x group, D), their pages dealt out at the borders."""
    layout, (n, n_heads, d) = cache.layout, q.shape
    group = n_heads // 2
    head = layout.kv_type, d, layout.value_dim, group
    stride = n * partial_nbytes(layout.value_dim, group) + 64
    rng = np.random.default_rng(0)
    scratch = rng.standard_normal(scratch_floats(layout.value_dim)).astype(np.float32)
    rows = np.zeros((n + 1, n_heads * d), np.float32)
    rows[:n] = q.reshape(n, -1)
    out = np.full((n, n_heads * d), np.nan, np.float32)
    for i in range(2):
        where = i * group * d * 4
        partials = np.full(stride * borders[-1], 0xFF, np.uint8)
        for begin, end in reversed(list(pairwise(borders))):
            call(pages_kernel(*head), rows.ctypes.data + where, rows.strides[0], n, position,
                 window or NO_WINDOW, cache.addresses, i * layout.head_nbytes, begin, end,
                 partials, stride, scratch)  # fmt: skip
        for query in range(n):
            call(merge_kernel(*head), query, n, position, window or NO_WINDOW, partials,
                 stride, out.ctypes.data + query * out.strides[0] + where,
                 sinks[i * group :], 0)  # fmt: skip
    return out.reshape(q.shape)


@pytest.mark.parametrize(
    "kv_type, d, group, window", [(*shape, 0) for shape in SHAPES[:4]] + [(*SHAPES[2], 150)]
)
def test_pages_dealt_to_threads_give_the_same_bits(
    call: Call, kv_type: str, d: int, group: int, window: int
) -> None:
    cache = _cache(kv_type, d, N_POSITIONS, seed=11)
    sinks = np.linspace(-3, 5, 2 * group, dtype=np.float32)
    for n_queries in (1, 2, query_block(group)):
        q = _queries(n_queries, group, d, seed=12)
        for first in (5, 127, 128, N_POSITIONS - n_queries):
            whole = _attend(call, cache, q, first, [1] * n_queries, window, sinks)
            n = (first + n_queries - 1) // PAGE + 1
            for borders in ([0, n], list(range(n + 1)), [0, n // 2, n]):
                got = _attend_in_splits(call, cache, q, first, borders, window, sinks)
                assert (got == whole).all(), borders


@pytest.mark.parametrize("kv_type, d, group", SHAPES[:3])
def test_later_keys_change_nothing(call: Call, kv_type: str, d: int, group: int) -> None:
    """What a cut sequence left in its last page, and what comes after, has no influence."""
    n = 140
    cache = _cache(kv_type, d, 2 * PAGE, seed=3)
    q = _queries(n, group, d, seed=4)
    before = _attend(call, cache, q, 0, _even(n, query_block(group)))
    clean = _cache(kv_type, d, 2 * PAGE, seed=3)
    dirt = np.random.default_rng(5).standard_normal((2 * PAGE - n, 2, d)) * 100
    for page in (cache, clean):
        one = page.pages[1]
        for head in range(2):
            keys = one[head, : PAGE * d].reshape(PAGE // 16, d, 16)
            values = one[head, PAGE * d :].reshape(PAGE, -1)
            for position in range(n, 2 * PAGE):
                slot = position - PAGE
                new = 0 if page is clean else dirt[position - n, head]
                keys[slot // 16, :, slot % 16] = new
                values[slot, :d] = new
    for other in (cache, clean):
        assert (_attend(call, other, q, 0, _even(n, query_block(group))) == before).all()


def test_large_scores_neither_overflow_nor_lose_the_largest(call: Call, naive: ModuleType) -> None:
    cache = _cache("f32", 64, 200, seed=6, scale=1000)
    q = _queries(200, 1, 64, seed=7)
    got = _attend(call, cache, q, 0, _even(200, 64))
    exact = naive.attention(q, cache.keys, cache.values, 0)
    # Scores of size 4000: their own rounding moves a weight by up to 4000 * 2**-22.
    assert np.isfinite(got).all() and np.abs(got - exact).max() < 2e-2


def test_equal_scores_give_the_mean(call: Call) -> None:
    cache = _cache("f32", 32, N_POSITIONS, seed=8)
    q = np.zeros((N_POSITIONS, 2, 32), np.float32)
    got = _attend(call, cache, q, 0, _even(N_POSITIONS, 64))
    mean = cache.values.cumsum(0, dtype=np.float64) / np.arange(1, N_POSITIONS + 1)[:, None, None]
    assert np.abs(got - mean).max() < 1e-6


@pytest.mark.parametrize("group", range(1, MAX_ROWS + 1))
def test_a_block_of_queries_fits_the_scratch(group: int) -> None:
    assert 1 <= query_block(group) * group <= MAX_ROWS


def test_more_heads_in_a_group_than_scratch_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="65"):
        query_block(MAX_ROWS + 1)
