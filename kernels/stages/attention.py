"""Causal attention of a block of queries over the paged cache, in one pass.

The keys are walked page by page from position 0. Each page gives, for each query row, its largest
score, the sum of the exponentials below it and the values weighted by them; these partial results
are merged in page order (online softmax: Milakov and Gimelshein, arXiv:1805.02867; Dao et al.,
arXiv:2205.14135). Pages are fixed positions, so a row's arithmetic is the same whether it comes
in a prompt of any chunking, alone, or beside others. Keys behind a row's own position count with
weight 0, which changes no bit since the cache holds finite numbers only.

The query heads that share a KV head are rows of the same task, so the cache is read once for all.
Rows are taken in tiles, as many as the registers hold.

A single token's pages can be dealt to several threads: `pages_kernel` leaves what each page gives,
a *partial*, in memory, and `merge_kernel` merges the partials in page order, with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.jit import Kernel, device
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP, PAGE
from halfbyte.kernels.products.dots import stack
from halfbyte.kernels.vectors.simd import (
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
from halfbyte.kernels.vectors.tiles import add_outer, load_column, load_column_f16, save_tile, zeros
from halfbyte.kernels.vectors.vector_math import exp

N_ARGS, N_PAGES_ARGS, N_MERGE_ARGS = 9, 9, 4
MAX_ROWS = MAX_GROUP  # rows of one task: scratch is sized for them
_MINUS_INF = np.float32(-np.inf)
_WEIGHTS = 4 * PAGE  # bytes of a row of scores
_STATE = 16  # bytes of a row: merged max and sum, the page's max and sum


def scratch_floats(value_dim: int) -> int:
    """Floats of scratch that a task needs: queries, weights, a page's values, merged values."""
    return MAX_ROWS * (PAGE + 3 * value_dim + _STATE // 4)


def partial_nbytes(value_dim: int, group: int) -> int:
    """Bytes of what a page gives for the `group` query heads of a KV head: states, values."""
    return group * (_STATE + 4 * value_dim)


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
    return Kernel(function, N_ARGS, f"attention_{_name(kv_type, head_dim, group, window)}")


@cache
def pages_kernel(
    kv_type: str, head_dim: int, value_dim: int, group: int, window: int = 0
) -> Kernel:
    """What pages begin .. end give for a single query and one KV head.

    Arguments: q, position, pages and head_at as above, begin, end, partials (where the one of page
    0 would lie), stride (bytes from one page's to the next), scratch.
    """
    function = _pages(int(kv_type == "f16"), head_dim, value_dim, group, window)
    return Kernel(function, N_PAGES_ARGS, f"pages_{_name(kv_type, head_dim, group, window)}")


@cache
def merge_kernel(head_dim: int, value_dim: int, group: int, window: int = 0) -> Kernel:
    """A single query's attention from the partials of its pages.

    Arguments: position, partials and stride as above, out (the query's heads).
    """
    function = _merge(head_dim, value_dim, group, window)
    return Kernel(function, N_MERGE_ARGS, f"merge_{_name('', head_dim, group, window)}")


def _name(kv_type: str, head_dim: int, group: int, window: int) -> str:
    return f"{kv_type}_{head_dim}_{group}" + (f"_{window}" if window else "")


# --- one page ---------------------------------------------------------------------------------


@device
def _load(address, stride, is_f16, n):
    """n vectors of cache elements as floats."""
    if is_f16:
        return load_column_f16(address, stride, n)
    return load_column(address, stride, n)


@device
def _scores(q, row_nbytes, keys, d, n_vectors, weights, size, n, tile):
    """weights[row][key] = q[row] . key, for `tile` rows and n vectors of 16 keys at a time."""
    for v in range(0, n_vectors, n):
        acc = zeros(n, tile)
        for i in range(d):
            columns = _load(keys + (v * d + i) * 16 * size, d * 16 * size, size == 2, n)
            acc = add_outer(acc, columns, q + 4 * i, row_nbytes, tile)
        save_tile(acc, weights + 64 * v, 64, _WEIGHTS, n, tile)


@device
def _weighted(weights, values, dv, n_keys, out, size, n, tile):
    """out[row] = the sum of values[key] * weights[row][key], for `tile` rows."""
    for v in range(0, dv // 16, n):
        acc = zeros(n, tile)
        for key in range(n_keys):
            columns = _load(values + (key * dv + 16 * v) * size, 16 * size, size == 2, n)
            acc = add_outer(acc, columns, weights + 4 * key, _WEIGHTS, tile)
        save_tile(acc, out + 64 * v, 64, 4 * dv, n, tile)


@device
def _softmax_row(weights, first, n_keys, n_vectors, state):
    """Scores of a page -> exponentials below their maximum; keeps max and sum.

    Keys before `first` and from n_keys on get 0. Vectors behind n_vectors hold no row's keys;
    leaving them out leaves out zeros.
    """
    largest = splat(_MINUS_INF)
    if first <= 0 and n_keys >= 16 * n_vectors:
        for v in range(n_vectors):
            largest = maximum(load(weights + 64 * v), largest)
    else:
        for v in range(n_vectors):
            scores = keep_first(load(weights + 64 * v), n_keys - 16 * v, splat(_MINUS_INF))
            scores = keep_first(splat(_MINUS_INF), first - 16 * v, scores)
            store(weights + 64 * v, scores)
            largest = maximum(scores, largest)
    top = max_lanes(largest)
    total = splat(np.float32(0))
    if top > _MINUS_INF:  # the exponential of minus infinity is exactly 0
        for v in range(n_vectors):
            e = exp(sub(load(weights + 64 * v), splat(top)))
            store(weights + 64 * v, e)
            total = add(total, e)
    else:
        for v in range(n_vectors):
            store(weights + 64 * v, total)
    put_f32(state + 8, top)
    put_f32(state + 12, sum_lanes(total))


@device
def _row_tile(queries, states, keys, position, begin, n_keys, row, n_rows, weights, out, D, DV,
              SIZE, GROUP, WINDOW, QK, PV, TILE):  # fmt: skip
    """A page's states and values for TILE rows from `row` on; those beyond n_rows are unused."""
    n_vectors = (n_keys + 63) // 64 * 4
    w = weights + row * _WEIGHTS
    _scores(queries + row * DV * 4, DV * 4, keys, D, n_vectors, w, SIZE, QK, TILE)
    for r in range(row, min(row + TILE, n_rows)):
        n_seen = position + r // GROUP + 1 - begin
        unseen = n_seen - WINDOW if WINDOW > 0 else 0
        _softmax_row(weights + r * _WEIGHTS, unseen, n_seen, n_vectors, states + r * _STATE)
    _weighted(w, keys + PAGE * D * SIZE, DV, n_keys, out + row * DV * 4, SIZE, PV, TILE)


@device
def _page(queries, states, keys, position, begin, n_keys, n_rows, weights, out, D, DV, SIZE, GROUP,
          WINDOW, VECTORS, ROWS, HALF, SINGLE):  # fmt: skip
    """What a page gives: max and sum into `states`, values into `out`, rows of DV floats.

    Where rows are left over, a tile computes more from stale, unused scratch.
    """
    row = 0
    while row < n_rows:
        left = n_rows - row
        if left > HALF:
            _row_tile(queries, states, keys, position, begin, n_keys, row, n_rows, weights, out, D,
                      DV, SIZE, GROUP, WINDOW, VECTORS, VECTORS, ROWS)  # fmt: skip
            row += ROWS
        elif left > 1:
            _row_tile(queries, states, keys, position, begin, n_keys, row, n_rows, weights, out, D,
                      DV, SIZE, GROUP, WINDOW, VECTORS, VECTORS, HALF)  # fmt: skip
            row += HALF
        else:
            _row_tile(queries, states, keys, position, begin, n_keys, row, n_rows, weights, out, D,
                      DV, SIZE, GROUP, WINDOW, 4, SINGLE, 1)  # fmt: skip
            row += 1


@device
def _take_queries(q, q_stride, n_rows, queries, D, DV, GROUP, scale):
    """Copy the queries, scaled, to rows of DV floats."""
    for row in range(n_rows):
        source = q + row // GROUP * q_stride + row % GROUP * D * 4
        for v in range(DV // 16):
            x = mul(load(source + 64 * v), splat(scale))
            store(queries + row * DV * 4 + 64 * v, x)


# --- all pages --------------------------------------------------------------------------------


@device
def _begin_row(state, values, n_vectors):
    """Nothing merged yet."""
    put_f32(state, _MINUS_INF)
    put_f32(state + 4, np.float32(0))
    for v in range(n_vectors):
        store(values + 64 * v, splat(np.float32(0)))


@device
def _merge_row(state, values, page_state, page_values, n_vectors):
    """Merge a page's (max, sum, values) of a row into what the earlier pages gave."""
    old, new = get_f32(state), get_f32(page_state + 8)
    top = max(old, new)
    a, b = exp(splat(old - top)), exp(splat(new - top))
    put_f32(state, top)
    total = get_f32(state + 4) * first_lane(a) + get_f32(page_state + 12) * first_lane(b)
    put_f32(state + 4, total)
    for v in range(n_vectors):
        kept = mul(load(values + 64 * v), a)
        store(values + 64 * v, fma(load(page_values + 64 * v), b, kept))


@device
def _sees(position, page, WINDOW):
    """Whether a query sees anything of a page."""
    n_seen = position + 1 - page * PAGE
    return n_seen > 0 and (WINDOW == 0 or n_seen - WINDOW < PAGE)


@device
def first_page(position, window):
    """The first page that a query sees anything of."""
    return max(position + 1 - window, 0) // PAGE if window > 0 else 0


@device
def _finish_row(state, values, out, d):
    """out = values / sum, d floats."""
    total = splat(get_f32(state + 4))
    for v in range((d + 15) // 16):
        normal = div(load(values + 64 * v), total)
        if d - 16 * v >= 16:
            store(out + 64 * v, normal)
        else:
            store(values + 64 * v, normal)
            for i in range(16 * v, d):
                put_f32(out + 4 * i, get_f32(values + 4 * i))


def _single(dv: int) -> int:
    """Vectors of values at a time for a single row, which needs independent sums."""
    return 4 if dv % 64 == 0 else 2


def _attention(IS_F16: int, D: int, DV: int, GROUP: int, WINDOW: int) -> Callable[..., None]:
    SIZE = 2 if IS_F16 else 4
    ROW = DV * 4  # bytes of a row of queries or values
    SCALE = np.float32(1.0 / np.sqrt(D))
    N = DV // 16
    (VECTORS, ROWS), SINGLE = target.current().attention_tile, _single(DV)
    HALF = ROWS // 2

    def attend(q, q_stride, n_queries, position, pages, head_at, out, out_stride, scratch):
        n_rows = n_queries * GROUP
        weights = scratch
        queries = weights + MAX_ROWS * _WEIGHTS
        page_values = queries + MAX_ROWS * ROW
        values = page_values + MAX_ROWS * ROW
        states = values + MAX_ROWS * ROW
        _take_queries(q, q_stride, n_rows, queries, D, DV, GROUP, SCALE)
        for row in range(n_rows):
            _begin_row(states + row * _STATE, values + row * ROW, N)
        last = position + n_queries - 1
        for page in range(first_page(position, WINDOW), last // PAGE + 1):
            keys = get_i64(pages + 8 * page) + head_at
            n_keys = min(last + 1 - page * PAGE, PAGE)
            _page(queries, states, keys, position, page * PAGE, n_keys, n_rows, weights,
                  page_values, D, DV, SIZE, GROUP, WINDOW, VECTORS, ROWS, HALF, SINGLE)  # fmt: skip
            for row in range(n_rows):
                state = states + row * _STATE
                if _sees(position + row // GROUP, page, WINDOW):
                    _merge_row(state, values + row * ROW, state, page_values + row * ROW, N)
        for row in range(n_rows):
            _finish_row(states + row * _STATE, values + row * ROW,
                        out + row // GROUP * out_stride + row % GROUP * D * 4, D)  # fmt: skip

    return attend


def _pages(IS_F16: int, D: int, DV: int, GROUP: int, WINDOW: int) -> Callable[..., None]:
    SIZE, SCALE = 2 if IS_F16 else 4, np.float32(1.0 / np.sqrt(D))
    (VECTORS, ROWS), SINGLE = target.current().attention_tile, _single(DV)
    HALF = ROWS // 2

    def attend_pages(q, position, pages, head_at, begin, end, partials, stride, scratch):
        weights = scratch
        queries = weights + MAX_ROWS * _WEIGHTS
        values = queries + MAX_ROWS * DV * 4
        states = values + MAX_ROWS * DV * 4
        _take_queries(q, 0, GROUP, queries, D, DV, GROUP, SCALE)
        for page in range(max(begin, first_page(position, WINDOW)), end):
            keys = get_i64(pages + 8 * page) + head_at
            n_keys = min(position + 1 - page * PAGE, PAGE)
            _page(queries, states, keys, position, page * PAGE, n_keys, GROUP, weights, values, D,
                  DV, SIZE, GROUP, WINDOW, VECTORS, ROWS, HALF, SINGLE)  # fmt: skip
            out = partials + page * stride
            for row in range(GROUP):
                put_f32(out + row * _STATE + 8, get_f32(states + row * _STATE + 8))
                put_f32(out + row * _STATE + 12, get_f32(states + row * _STATE + 12))
            for v in range(GROUP * DV // 16):
                store(out + GROUP * _STATE + 64 * v, load(values + 64 * v))

    return attend_pages


def _merge(D: int, DV: int, GROUP: int, WINDOW: int) -> Callable[..., None]:
    N, ROW = DV // 16, DV * 4

    def merge(position, partials, stride, out):
        values, state = stack(ROW), stack(64)
        for row in range(GROUP):
            _begin_row(state, values, N)
            for page in range(first_page(position, WINDOW), position // PAGE + 1):
                at = partials + page * stride
                _merge_row(state, values, at + row * _STATE, at + GROUP * _STATE + row * ROW, N)
            _finish_row(state, values, out + row * D * 4, D)

    return merge
