"""First positions beside a window: against float64, and `==` between all ways of taking queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.stages.attention import (
    attention_kernel,
    first_page,
    merge_kernel,
    pages_kernel,
    partial_nbytes,
    query_block,
    scratch_floats,
)
from halfbyte.kernels.stages.attention_sinks import sinks_kernel
from tests.kernels.stages.test_attention import SHAPES, Cache, _cache, _queries

Call = Callable[..., None]
N, WINDOW, SINKS = 400, 150, 5
FIRST = WINDOW + SINKS  # the first query that sees less than all


class Attention:
    """Queries of all positions, and others for the first ones; two heads of a cache."""

    def __init__(self, call: Call, kv_type: str, d: int, group: int) -> None:
        self.call, self.group, self.d = call, group, d
        self.cache: Cache = _cache(kv_type, d, N, seed=d)
        self.q, self.far = (self._rows(seed) for seed in (1, 2))
        self.shape = kv_type, d, self.cache.layout.value_dim, group
        self.scratch = np.full(scratch_floats(self.shape[2]), np.nan, np.float32)

    def _rows(self, seed: int) -> np.ndarray:
        """(N + 1, heads x d): loads go up to 31 floats past a head."""
        rows = np.zeros((N + 1, 2 * self.group * self.d), np.float32)
        rows[:N] = _queries(N, self.group, self.d, seed).reshape(N, -1)
        return rows

    def _where(self, at: int, head: int) -> int:
        return at * self.q.strides[0] + head * self.group * self.d * 4

    def given(self, at: int, n: int, head: int) -> np.ndarray:
        """What the first positions give n queries."""
        given = np.full(n * partial_nbytes(self.shape[2], self.group) + 64, 0xFF, np.uint8)
        keys = int(self.cache.addresses[0]) + head * self.cache.layout.head_nbytes
        self.call(sinks_kernel(*self.shape), self.far.ctypes.data + self._where(at, head),
                  self.far.strides[0], n, SINKS, keys, given, self.scratch)  # fmt: skip
        return given

    def whole(self, chunks: Sequence[int]) -> np.ndarray:
        """Attention of the queries from FIRST on, in chunks."""
        out, at = np.full_like(self.q, np.nan), FIRST
        for n in chunks:
            for head in range(2):
                given, where = self.given(at, n, head), self._where(at, head)
                self.call(attention_kernel(*self.shape), self.q.ctypes.data + where,
                          self.q.strides[0], n, at, WINDOW, self.cache.addresses,
                          head * self.cache.layout.head_nbytes, out.ctypes.data + where,
                          out.strides[0], self.scratch, 0, given)  # fmt: skip
            at += n
        return out[FIRST:at].reshape(at - FIRST, 2 * self.group, self.d)

    def dealt(self, n: int, borders: Sequence[int]) -> np.ndarray:
        """The same of n queries at the end, their pages dealt out at the borders."""
        out, at = np.full_like(self.q, np.nan), N - n
        stride = n * partial_nbytes(self.shape[2], self.group)
        for head in range(2):
            given, head_at = self.given(at, n, head), head * self.cache.layout.head_nbytes
            partials = np.full(stride * borders[-1] + 64, 0xFF, np.uint8)
            for begin, end in pairwise(borders):
                self.call(pages_kernel(*self.shape), self.q.ctypes.data + self._where(at, head),
                          self.q.strides[0], n, at, WINDOW, self.cache.addresses, head_at, begin,
                          end, partials, stride, self.scratch)  # fmt: skip
            for query in range(n):
                self.call(merge_kernel(*self.shape), query, n, at, WINDOW, partials, stride,
                          out.ctypes.data + self._where(at + query, head), 0, given)  # fmt: skip
        return out[at:N].reshape(n, 2 * self.group, self.d)

    def exact(self) -> np.ndarray:
        """In float64, query by query."""
        keys, values = (x.astype(np.float64).repeat(self.group, 1)
                        for x in (self.cache.keys, self.cache.values))  # fmt: skip
        q, far = (x[:N].reshape(N, -1, self.d).astype(np.float64) for x in (self.q, self.far))
        rows = []
        for t in range(FIRST, N):
            seen = slice(t + 1 - WINDOW, t + 1)
            scores = np.concatenate([
                np.einsum("hd,shd->hs", far[t], keys[:SINKS]),
                np.einsum("hd,shd->hs", q[t], keys[seen]),
            ], axis=1) / np.sqrt(self.d)  # fmt: skip
            weights = np.exp(scores - scores.max(1, keepdims=True))
            weights /= weights.sum(1, keepdims=True)
            both = np.concatenate([values[:SINKS], values[seen]])
            rows.append(np.einsum("hs,shd->hd", weights, both))
        return np.stack(rows)


@pytest.mark.parametrize("kv_type, d, group", SHAPES)
def test_close_to_float64_and_the_same_bits_in_all_ways(
    call: Call, kv_type: str, d: int, group: int
) -> None:
    attention, n = Attention(call, kv_type, d, group), N - FIRST
    one_by_one = attention.whole([1] * n)
    assert np.abs(one_by_one - attention.exact()).max() < 3e-6
    size = query_block(group)
    assert (attention.whole([min(size, n - i) for i in range(0, n, size)]) == one_by_one).all()
    begin = first_page(N - 5, WINDOW)
    for borders in ([begin, N // PAGE + 1], [begin, begin + 1, N // PAGE + 1]):
        assert (attention.dealt(5, borders) == one_by_one[-5:]).all()
