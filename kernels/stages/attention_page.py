"""What one page of the cache gives to a tile of query rows: attention.py goes over the pages.

For each row that is the largest score, the sum of the exponentials below it (the row's *state*) and
the values weighted by them. Rows are taken in tiles, as many as the registers hold.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.vectors.scalars import put_f32
from halfbyte.kernels.vectors.simd import (
    add,
    keep_first,
    load,
    max_lanes,
    maximum,
    mul,
    splat,
    store,
    sub,
    sum_lanes,
)
from halfbyte.kernels.vectors.tiles import add_outer, load_column, load_column_f16, save_tile, zeros
from halfbyte.kernels.vectors.vector_math import exp, soft_cap

MINUS_INF = np.float32(-np.inf)
WEIGHTS = 4 * PAGE  # bytes of a row of scores
STATE = 16  # bytes of a row: merged max and sum, the page's max and sum


@device
def load_elements(address, stride, is_f16, n):
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
            at = keys + (v * d + i) * 16 * size
            columns = load_elements(at, d * 16 * size, size == 2, n)
            acc = add_outer(acc, columns, q + 4 * i, row_nbytes, tile)
        save_tile(acc, weights + 64 * v, 64, WEIGHTS, n, tile)


@device
def weighted(weights, values, row_nbytes, dv, n_keys, out, size, n, tile):
    """out[row] = the sum of values[key] * weights[row][key], for `tile` rows of dv features."""
    for v in range(0, dv // 16, n):
        acc = zeros(n, tile)
        for key in range(n_keys):
            at = values + key * row_nbytes + 16 * v * size
            columns = load_elements(at, 16 * size, size == 2, n)
            acc = add_outer(acc, columns, weights + 4 * key, WEIGHTS, tile)
        save_tile(acc, out + 64 * v, 64, 4 * dv, n, tile)


@device
def cap_row(scores, n_vectors, CAP):
    """score = CAP tanh(score / CAP), but for a CAP of 0."""
    if CAP != 0:
        for v in range(n_vectors):
            store(scores + 64 * v, soft_cap(load(scores + 64 * v), CAP))


@device
def softmax_row(weights, first, n_keys, n_vectors, state):
    """Scores of a page -> exponentials below their maximum; keeps max and sum.

    Keys before `first` and from n_keys on get 0. Vectors behind n_vectors hold no row's keys;
    leaving them out leaves out zeros.
    """
    largest = splat(MINUS_INF)
    if first <= 0 and n_keys >= 16 * n_vectors:
        for v in range(n_vectors):
            largest = maximum(load(weights + 64 * v), largest)
    else:
        for v in range(n_vectors):
            scores = keep_first(load(weights + 64 * v), n_keys - 16 * v, splat(MINUS_INF))
            scores = keep_first(splat(MINUS_INF), first - 16 * v, scores)
            store(weights + 64 * v, scores)
            largest = maximum(scores, largest)
    top = max_lanes(largest)
    total = splat(np.float32(0))
    if top > MINUS_INF:  # the exponential of minus infinity is exactly 0
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
def _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights, out, D,
              DV, SIZE, GROUP, QK, PV, TILE, CAP):  # fmt: skip
    """A page's states and values for TILE rows from `row` on; those beyond n_rows are unused."""
    n_vectors = (n_keys + 63) // 64 * 4
    w = weights + row * WEIGHTS
    _scores(queries + row * DV * 4, DV * 4, keys, D, n_vectors, w, SIZE, QK, TILE)
    for r in range(row, min(row + TILE, n_rows)):
        cap_row(weights + r * WEIGHTS, n_vectors, CAP)
        n_seen = position + r // GROUP + 1 - begin
        softmax_row(weights + r * WEIGHTS, n_seen - window, n_seen, n_vectors,
                     states + r * STATE)  # fmt: skip
    weighted(w, keys + PAGE * D * SIZE, DV * SIZE, DV, n_keys, out + row * DV * 4, SIZE, PV,
             TILE)  # fmt: skip


@device
def attend_page(queries, states, keys, position, window, begin, n_keys, n_rows, weights, out, D,
                DV, SIZE, GROUP, VECTORS, ROWS, HALF, SINGLE, CAP):  # fmt: skip
    """What a page gives: max and sum into `states`, values into `out`, rows of DV floats.

    Where rows are left over, a tile computes more from stale, unused scratch.
    """
    row = 0
    while row < n_rows:
        left = n_rows - row
        if left > HALF:
            _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights,
                      out, D, DV, SIZE, GROUP, VECTORS, VECTORS, ROWS, CAP)  # fmt: skip
            row += ROWS
        elif left > 1:
            _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights,
                      out, D, DV, SIZE, GROUP, VECTORS, VECTORS, HALF, CAP)  # fmt: skip
            row += HALF
        else:
            _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights,
                      out, D, DV, SIZE, GROUP, 4, SINGLE, 1, CAP)  # fmt: skip
            row += 1


@device
def take_queries(q, q_stride, n_rows, queries, D, DV, GROUP, scale, SIZE):
    """Copy the queries, scaled, to rows of DV floats."""
    for row in range(n_rows):
        source = q + row // GROUP * q_stride + row % GROUP * D * 4
        for v in range(DV // 16):
            x = mul(load(source + 64 * v), splat(scale))
            store(queries + row * DV * 4 + 64 * v, x)
