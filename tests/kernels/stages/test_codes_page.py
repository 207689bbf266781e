"""Attention over codes: the bits of the slow twin, whatever the tiles, chunks and dealing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.layouts.kv_pages import KEY_BITS, KV_TYPES, PAGE, KVLayout
from halfbyte.kernels.stages.attention import (
    NO_WINDOW,
    attention_kernel,
    merge_kernel,
    pages_kernel,
    partial_nbytes,
    query_block,
    scratch_floats,
)
from halfbyte.kernels.stages.rope import rope_append_kernel

Call = Callable[..., None]
SHAPES = [("int8", 64, 3), ("int4", 48, 2)]
N = 300


class Cache:
    """Pages of two heads that the kernel has written; whole of what is behind them is junk."""

    def __init__(self, call: Call, kv_type: str, d: int, group: int, n: int = N) -> None:
        self.layout, self.group, rng = KVLayout(1, 2, d, kv_type), group, np.random.default_rng(d)
        self.keys, self.values = (rng.standard_normal((n, 2, d)).astype("f4") for _ in range(2))
        self.keys[:, :, 3] += 9  # what stands out, as in real keys
        self.pages = np.zeros((-(-n // PAGE), self.layout.page_nbytes + 64), np.uint8)
        self.addresses = self.pages.ctypes.data + np.arange(len(self.pages)) * self.pages.strides[0]
        for position in range(n):
            self.append(call, position, self.keys[position], self.values[position])

    def append(self, call: Call, position: int, keys: np.ndarray, values: np.ndarray) -> None:
        """Write a position's keys and values (2, d)."""
        layout = self.layout
        kernel = rope_append_kernel(layout.kv_type, layout.head_dim, layout.value_dim, self.group)
        for head in range(2):
            q, k, v = (
                np.zeros((self.group, layout.head_dim), "f4"),
                keys[head] + 0,
                values[head] + 0,
            )
            at = int(self.addresses[position // PAGE]) + head * layout.head_nbytes
            call(kernel, q, k, v, q, 0, position, at)

    def attend(
        self, call: Call, q: np.ndarray, first: int, chunks: Sequence[int], window: int = 0
    ) -> np.ndarray:
        """Attention of q (T, 2 x group, d) in chunks; junk lies in all scratch."""
        layout, group = self.layout, self.group
        kernel = attention_kernel(layout.kv_type, layout.head_dim, layout.value_dim, group)
        scratch = np.full(scratch_floats(layout.value_dim), np.nan, np.float32)
        out, at = np.full_like(q, np.nan), 0
        for chunk in chunks:
            for head in range(2):
                where = at * q.strides[0] + head * group * q.strides[1]
                call(kernel, q.ctypes.data + where, q.strides[0], chunk, first + at,
                     window or NO_WINDOW, self.addresses, head * layout.head_nbytes,
                     out.ctypes.data + where, out.strides[0], scratch, 0, 0)  # fmt: skip
            at += chunk
        return out

    def attend_in_splits(
        self, call: Call, q: np.ndarray, first: int, borders: list[int]
    ) -> np.ndarray:
        """The same, its pages dealt out at the borders."""
        layout, n = self.layout, len(q)
        shape = layout.kv_type, layout.head_dim, layout.value_dim, self.group
        stride = n * partial_nbytes(layout.value_dim, self.group)
        scratch = np.full(scratch_floats(layout.value_dim), np.nan, np.float32)
        out = np.full_like(q, np.nan)
        for head in range(2):
            where = head * self.group * q.strides[1]
            partials = np.full(stride * borders[-1], 0xFF, np.uint8)
            for begin, end in reversed(list(pairwise(borders))):
                call(pages_kernel(*shape), q.ctypes.data + where, q.strides[0], n, first,
                     NO_WINDOW, self.addresses, head * layout.head_nbytes, begin, end, partials,
                     stride, scratch)  # fmt: skip
            for query in range(n):
                call(merge_kernel(*shape), query, n, first, NO_WINDOW, partials, stride,
                     out.ctypes.data + query * out.strides[0] + where, 0, 0)  # fmt: skip
        return out

    def queries(self, n: int) -> np.ndarray:
        """Random ones."""
        shape = n, 2 * self.group, self.layout.head_dim
        return np.random.default_rng(n).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: shape[0])
def cache(request: pytest.FixtureRequest, call: Call) -> Cache:
    return Cache(call, *request.param)


def _even(n: int, size: int) -> list[int]:
    return [min(size, n - i) for i in range(0, n, size)]


@pytest.mark.parametrize("first, window", [(0, 0), (126, 0), (290, 0), (250, 130)])
def test_the_bits_of_the_twin(
    call: Call, cache: Cache, naive: ModuleType, codes_twin: ModuleType, first: int, window: int
) -> None:
    q, kv_type = cache.queries(6), cache.layout.kv_type
    expected = codes_twin.attention(
        naive, q, cache.keys, cache.values, first, (KEY_BITS[kv_type], KV_TYPES[kv_type]), window
    )
    assert (cache.attend(call, q, first, [6], window) == expected).all()
    exact = naive.attention(q, cache.keys, cache.values, first, window)
    assert np.abs(expected - exact).max() < {"int8": 0.03, "int4": 0.35}[kv_type]


@pytest.mark.parametrize("first", [0, 120, 255])
def test_chunks_and_dealt_pages_give_the_same_bits(call: Call, cache: Cache, first: int) -> None:
    n = 45
    q = cache.queries(n)
    one_by_one = cache.attend(call, q, first, [1] * n)
    for size in (2, 7, query_block(cache.group)):
        assert (cache.attend(call, q, first, _even(n, size)) == one_by_one).all(), size
    for n in (1, 3):
        n_pages = (first + n - 1) // PAGE + 1
        for borders in ([0, n_pages], list(range(n_pages + 1))):
            assert (cache.attend_in_splits(call, q[:n], first, borders) == one_by_one[:n]).all()


def test_what_lies_behind_changes_nothing(call: Call, cache: Cache) -> None:
    """Stale positions in a page, which share vectors with those that count."""
    q = cache.queries(10)
    before = cache.attend(call, q, 121, [10])
    junk = np.random.default_rng(0).standard_normal((2, cache.layout.head_dim)) * 1e4
    for position in range(131, 150):
        cache.append(call, position, junk.astype("f4"), junk.astype("f4"))
    assert (cache.attend(call, q, 121, [10]) == before).all()
    for position in range(131, 150):
        cache.append(call, position, cache.keys[position], cache.values[position])


def test_many_small_weights_count_beside_a_large_one(call: Call, codes_twin: ModuleType) -> None:
    """Each is less than half of a byte's unit. Rotated, values are what 4 bits hold exactly."""
    cache, none = Cache(call, "int4", 48, 1, n=PAGE), np.zeros((2, 48), np.float32)
    value = codes_twin.rotate(np.resize(np.float32([1, -1, -1, 1, 1]), (2, 48)))
    for position in range(PAGE):
        cache.append(call, position, none, value * np.float32(-600 if position == 5 else 1))
    out = cache.attend(call, none[None], PAGE - 1, [1])
    assert np.abs(out - value * (127 - 600) / PAGE).max() < 0.2 * np.abs(value).max()


@pytest.mark.parametrize("kv_type", ["int8", "int4"])
@pytest.mark.parametrize("factor", [0.0, 1e-42, 1e-6, 6e4, 1e30])
def test_extremes_stay_finite_and_depend_on_no_chunk(
    call: Call, kv_type: str, factor: float
) -> None:
    """Scales of 0, and the largest; a lone key of a page; scores that are one, or one alone."""
    n, size = PAGE + 2, np.float32(factor)
    cache = Cache(call, kv_type, 48, 2, n=n)
    for position in range(n):
        values = cache.values[position] * size
        cache.append(call, position, cache.keys[0] * (60 if position == 70 else 1), values)
    q = cache.queries(n)
    one_by_one = cache.attend(call, q, 0, [1] * n)
    assert np.isfinite(one_by_one).all()
    assert (cache.attend(call, q, 0, _even(n, 7)) == one_by_one).all()
    assert (np.abs(one_by_one) <= 65504 * 48).all() and (factor > 1e-40 or not one_by_one.any())


@pytest.mark.parametrize("kv_type", ["int8", "int4"])
def test_a_query_that_is_no_number_stays_visible(call: Call, kv_type: str) -> None:
    cache = Cache(call, kv_type, 48, 2, n=20)
    q = cache.queries(20)
    expected = cache.attend(call, q, 0, [20])
    q[3, 1, 40] = np.nan
    got = cache.attend(call, q, 0, [20])
    assert np.isnan(got[3, 1]).all()
    got[3, 1] = expected[3, 1]
    assert (got == expected).all()
