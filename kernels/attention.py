"""Causal attention of a block of queries over the paged cache, in one pass.

The keys are walked page by page from position 0. Each page gives, for each query row, its largest
score, the sum of the exponentials below it and the values weighted by them; these partial results
are merged in page order (online softmax: Milakov and Gimelshein, arXiv:1805.02867; Dao et al.,
arXiv:2205.14135). Pages are fixed positions, so a row's arithmetic is the same whether it comes
in a prompt of any chunking, alone, or beside others. Keys behind a row's own position count with
weight 0, which changes no bit since the cache holds finite numbers only.

The query heads that share a KV head are rows of the same task, so the cache is read once for all.
Rows are taken in fours where there are three or more: a tile of 4 rows x 2 vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from .jit import Kernel, device
from .kv_layout import MAX_GROUP, PAGE
from .simd import (
    add,
    div,
    first_lane,
    fma,
    get_f32,
    get_i64,
    keep_first,
    load,
    max_lanes,
    maximum,
    mul,
    put_f32,
    splat,
    store,
    sub,
    sum_lanes,
)
from .tiles import (
    add_outer,
    load_column,
    load_column_f16,
    store_tile,
    zeros,
)
from .vector_math import exp

N_ARGS = 9
MAX_ROWS = MAX_GROUP  # rows of one task: scratch is sized for them
_MINUS_INF = np.float32(-np.inf)
_WEIGHTS = 4 * PAGE  # bytes of a row of scores
_STATE = 16  # bytes of a row: merged max and sum, the page's max and sum


def scratch_floats(value_dim: int) -> int:
    """Floats of scratch that a task needs: queries, weights, a page's values, merged values."""
    return MAX_ROWS * (PAGE + 3 * value_dim + _STATE // 4)


def query_block(group: int) -> int:
    """Queries (positions) per task when `group` query heads share a KV head.

    Raises:
        ValueError: not even one query's heads fit the scratch of a task.
    """
    if group > MAX_ROWS:
        raise ValueError(f"attention: {group} query heads per KV head, expected up to {MAX_ROWS}")
    return MAX_ROWS // group


@cache
def attention_kernel(
    kv_type: str, head_dim: int, value_dim: int, group: int, window: int = 0
) -> Kernel:
    """Attention of one KV head and a block of queries of one sequence.

    Arguments: q (the first query's heads of this group), q_stride (bytes from one query to the
    next), n_queries, position (of the first query), pages (address of the sequence's page
    addresses), head_at (byte offset of layer and head in a page), out (as q), out_stride, scratch.

    With a window, a query sees that many positions, its own included; 0 is all.
    """
    function = _attention(int(kv_type == "f16"), head_dim, value_dim, group, window)
    name = f"attention_{kv_type}_{head_dim}_{group}" + (f"_{window}" if window else "")
    return Kernel(function, N_ARGS, name)


@device
def _load_pair(address, stride, is_f16):
    """Two vectors of cache elements as floats."""
    if is_f16:
        return load_column_f16(address, stride, 2)
    return load_column(address, stride, 2)


@device
def _scores(q, q_stride, keys, d, n_vectors, weights, size, tile):
    """weights[row][key] = q[row] . key, for `tile` rows and pairs of 16 keys."""
    for v in range(0, n_vectors, 2):
        acc = zeros(2, tile)
        for i in range(d):
            pair = _load_pair(keys + (v * d + i) * 16 * size, d * 16 * size, size == 2)
            acc = add_outer(acc, pair, q + 4 * i, q_stride, tile)
        store_tile(acc, weights + 64 * v, 64, _WEIGHTS, 0, 2, tile)


@device
def _weighted(weights, values, dv, n_keys, out, size, tile):
    """out[row] = the sum of values[key] * weights[row][key], for `tile` rows."""
    for v in range(0, dv // 16, 2):
        acc = zeros(2, tile)
        for key in range(n_keys):
            pair = _load_pair(values + (key * dv + 16 * v) * size, 16 * size, size == 2)
            acc = add_outer(acc, pair, weights + 4 * key, _WEIGHTS, tile)
        store_tile(acc, out + 64 * v, 64, 4 * dv, 0, 2, tile)


@device
def _softmax_row(weights, first, n_keys, n_vectors, state):
    """Scores of a page -> exponentials below their maximum; keeps max and sum.

    Keys before `first` and from n_keys on get 0.

    Vectors behind n_vectors hold no row's keys; leaving them out leaves out zeros.
    """
    largest = splat(_MINUS_INF)
    for v in range(n_vectors):
        scores = keep_first(load(weights + 64 * v), n_keys - 16 * v, splat(_MINUS_INF))
        if first > 0:
            scores = keep_first(splat(_MINUS_INF), first - 16 * v, scores)
        largest = maximum(scores, largest)
    top = max_lanes(largest)
    total = splat(np.float32(0))
    for v in range(n_vectors):
        e = exp(sub(load(weights + 64 * v), splat(top)))
        e = keep_first(e, n_keys - 16 * v, splat(np.float32(0)))
        if first > 0:
            e = keep_first(splat(np.float32(0)), first - 16 * v, e)
        store(weights + 64 * v, e)
        total = add(total, e)
    put_f32(state + 8, top)
    put_f32(state + 12, sum_lanes(total))


@device
def _merge_row(state, values, page_values, n_vectors):
    """Merge a page's (max, sum, values) of a row into what the earlier pages gave."""
    old, new = get_f32(state), get_f32(state + 8)
    top = max(old, new)
    a, b = exp(splat(old - top)), exp(splat(new - top))
    put_f32(state, top)
    total = get_f32(state + 4) * first_lane(a) + get_f32(state + 12) * first_lane(b)
    put_f32(state + 4, total)
    for v in range(n_vectors):
        kept = mul(load(values + 64 * v), a)
        store(values + 64 * v, fma(load(page_values + 64 * v), b, kept))


def _attention(IS_F16: int, D: int, DV: int, GROUP: int, WINDOW: int) -> Callable[..., None]:
    SIZE = 2 if IS_F16 else 4
    KEYS = PAGE * D * SIZE  # bytes of the keys, before the values
    ROW = DV * 4  # bytes of a row of queries or values
    SCALE = np.float32(1.0 / np.sqrt(D))
    VECTORS = DV // 16

    def attend(q, q_stride, n_queries, position, pages, head_at, out, out_stride, scratch):
        n_rows = n_queries * GROUP
        weights = scratch
        queries = weights + MAX_ROWS * _WEIGHTS
        page_values = queries + MAX_ROWS * ROW
        values = page_values + MAX_ROWS * ROW
        states = values + MAX_ROWS * ROW
        for row in range(n_rows):
            source = q + row // GROUP * q_stride + row % GROUP * D * 4
            put_f32(states + row * _STATE, _MINUS_INF)
            put_f32(states + row * _STATE + 4, np.float32(0))
            for v in range(VECTORS):
                store(queries + row * ROW + 64 * v, mul(load(source + 64 * v), splat(SCALE)))
                store(values + row * ROW + 64 * v, splat(np.float32(0)))
        last = position + n_queries - 1
        first_page = max(position + 1 - WINDOW, 0) // PAGE if WINDOW > 0 else 0
        for page in range(first_page, last // PAGE + 1):
            keys = get_i64(pages + 8 * page) + head_at
            begin = page * PAGE
            n_keys = min(last + 1 - begin, PAGE)
            n_vectors = (n_keys + 31) // 32 * 2
            row = 0
            while row < n_rows:
                # Where 3 rows are left, the tile computes a fourth from stale, unused scratch.
                tile = 4 if n_rows - row >= 3 else 1
                w, out_rows = weights + row * _WEIGHTS, page_values + row * ROW
                if tile == 4:
                    _scores(queries + row * ROW, ROW, keys, D, n_vectors, w, SIZE, 4)
                else:
                    _scores(queries + row * ROW, ROW, keys, D, n_vectors, w, SIZE, 1)
                for r in range(row, min(row + tile, n_rows)):
                    n_seen = position + r // GROUP + 1 - begin
                    unseen = n_seen - WINDOW if WINDOW > 0 else 0
                    _softmax_row(weights + r * _WEIGHTS, unseen, n_seen, n_vectors,
                                 states + r * _STATE)  # fmt: skip
                if tile == 4:
                    _weighted(w, keys + KEYS, DV, n_keys, out_rows, SIZE, 4)
                else:
                    _weighted(w, keys + KEYS, DV, n_keys, out_rows, SIZE, 1)
                for r in range(row, min(row + tile, n_rows)):
                    n_seen = position + r // GROUP + 1 - begin
                    if n_seen > 0 and (WINDOW == 0 or n_seen - WINDOW < PAGE):
                        _merge_row(states + r * _STATE, values + r * ROW, page_values + r * ROW,
                                   VECTORS)  # fmt: skip
                row += tile
        for row in range(n_rows):
            total = splat(get_f32(states + row * _STATE + 4))
            target = out + row // GROUP * out_stride + row % GROUP * D * 4
            for v in range(VECTORS):
                normal = div(load(values + row * ROW + 64 * v), total)
                if D - 16 * v >= 16:
                    store(target + 64 * v, normal)
                else:
                    store(values + row * ROW + 64 * v, normal)
                    for i in range(16 * v, D):
                        put_f32(target + 4 * i, get_f32(values + row * ROW + 4 * i))

    return attend
