"""What one page of the cache gives to a tile of query rows: attention.py goes over the pages.

For each row that is the largest score, the sum of the exponentials below it (the row's *state*) and
the values weighted by them. Rows are taken in tiles, as many as the registers hold. States are
planes: the maxima of all rows, then their sums.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP, PAGE
from halfbyte.kernels.vectors.scalars import get_f32, put_f32
from halfbyte.kernels.vectors.simd import (
    add_all,
    keep_first,
    load,
    max_lanes,
    maximum,
    mul,
    prefetch_to_l2,
    splat,
    store,
    sub,
    sum_lanes,
)
from halfbyte.kernels.vectors.tiles import add_outer, load_column, load_column_f16, save_tile, zeros
from halfbyte.kernels.vectors.vector_math import exp_below_0, soft_cap

MINUS_INF = np.float32(-np.inf)
WEIGHTS = 4 * PAGE  # bytes of a row of scores
MAX_ROWS = MAX_GROUP  # rows of one task: scratch is sized for them
PLANE = 4 * MAX_ROWS  # bytes of a number of each row


@device
def load_elements(address, stride, is_f16, n):
    """n vectors of cache elements as floats."""
    if is_f16:
        return load_column_f16(address, stride, n)
    return load_column(address, stride, n)


@device
def prefetch_lines(address, nbytes):
    """Ask for the cache lines of so many bytes: of the next page, as much as is read of this one.

    Whatever order a page is read in, the next one is asked for from front to back: the memory is
    fastest then.
    """
    for at in range(0, nbytes, 64):
        prefetch_to_l2(address + at)


@device
def _scores(q, row_nbytes, keys, ahead, d, n_vectors, weights, size, n, tile):
    """weights[row][key] = q[row] . key, for `tile` rows and n vectors of 16 keys at a time."""
    for v in range(0, n_vectors, n):
        acc = zeros(n, tile)
        for i in range(d):
            at = keys + (v * d + i) * 16 * size
            prefetch_lines(keys + ahead + (v * d + i * n) * 16 * size, n * 16 * size)
            columns = load_elements(at, d * 16 * size, size == 2, n)
            acc = add_outer(acc, columns, q + 4 * i, row_nbytes, tile)
        save_tile(acc, weights + 64 * v, 64, WEIGHTS, n, tile)


@device
def _weighted(weights, values, ahead, row_nbytes, dv, n_keys, out, size, n, tile):
    """out[row] = the sum of values[key] * weights[row][key], for `tile` rows of dv features."""
    for v in range(0, dv // 16, n):
        acc = zeros(n, tile)
        for key in range(n_keys):
            at = values + key * row_nbytes + 16 * v * size
            nearby = (v * n_keys + key * n) * 16 * size
            prefetch_lines(values + ahead + nearby, n * 16 * size)
            columns = load_elements(at, 16 * size, size == 2, n)
            acc = add_outer(acc, columns, weights + 4 * key, WEIGHTS, tile)
        save_tile(acc, out + 64 * v, 64, 4 * dv, n, tile)


@device
def cap_row(scores, n_vectors, CAP):
    """score = CAP tanh(score / CAP), where there is a CAP: else none of this is compiled."""
    if CAP is not None:
        for v in range(n_vectors):
            store(scores + 64 * v, soft_cap(load(scores + 64 * v), CAP))


@device
def _largest(scores, first, n_keys, n_vectors):
    """The largest score of a row's keys from `first` to n_keys; others become minus infinity."""
    largest = splat(MINUS_INF)
    if first <= 0 and n_keys >= 16 * n_vectors:
        for v in range(n_vectors):
            largest = maximum(load(scores + 64 * v), largest)
    else:
        for v in range(n_vectors):
            seen = keep_first(load(scores + 64 * v), n_keys - 16 * v, splat(MINUS_INF))
            seen = keep_first(splat(MINUS_INF), first - 16 * v, seen)
            store(scores + 64 * v, seen)
            largest = maximum(seen, largest)
    return max_lanes(largest)


@device
def _exponentials(scores, top, n_vectors):
    """Scores -> exponentials below `top`, whose sum is returned; 0 where there is no score."""
    total = splat(np.float32(0))
    for v in range(0, n_vectors, 4):  # four at a time, which wait for each other less
        e = exp_below_0(sub(load_column(scores + 64 * v, 64, 4), splat(top)))
        save_tile(e, scores + 64 * v, 64, 0, 4, 1)
        total = add_all(total, e)
    return sum_lanes(total)


@device
def find_maxima(weights, states, n_seen, window, n_rows, n_vectors, GROUP, CAP):
    """The largest score of each row into `states`; what a row does not see becomes no score.

    The first query sees `n_seen` positions from the page's first on, the next one more.
    Vectors behind n_vectors, a multiple of 4, hold no row's keys: what is left out is zeros.
    """
    for row in range(n_rows):  # a loop of its own: then no row waits for its maximum
        cap_row(weights + row * WEIGHTS, n_vectors, CAP)
        n = n_seen + row // GROUP
        top = _largest(weights + row * WEIGHTS, n - window, n, n_vectors)
        put_f32(states + 4 * row, top)


@device
def softmax_rows(weights, states, n_seen, window, n_rows, n_vectors, GROUP, CAP):
    """Scores of a page -> exponentials below each row's maximum; keeps maxima and sums."""
    find_maxima(weights, states, n_seen, window, n_rows, n_vectors, GROUP, CAP)
    for row in range(n_rows):
        total = _exponentials(weights + row * WEIGHTS, get_f32(states + 4 * row), n_vectors)
        put_f32(states + PLANE + 4 * row, total)


@device
def fills_tile(left, ROWS, FEWER):
    """Whether a tile of ROWS is taken where so many rows are left, not one or two of FEWER."""
    return left > 2 * FEWER or FEWER < left <= ROWS


def in_tiles_of_rows(scores: Callable[..., None], name: str) -> Callable[..., None]:
    """A helper that has `scores`, which is of a tile of rows, make those of all rows.

    `name`, of the kind of page, is part of the helper's. It takes as many vectors, or keys, at a
    time as tiles have: VECTORS with ROWS or FEWER rows, 4 with a single one.
    """

    def score_rows(queries, stride, keys, ahead, d, n, n_rows, weights, SIZE, VECTORS, ROWS,
                   FEWER):  # fmt: skip
        row = 0
        while row < n_rows:
            q, w = queries + row * stride, weights + row * WEIGHTS
            if fills_tile(n_rows - row, ROWS, FEWER):
                scores(q, stride, keys, ahead, d, n, w, SIZE, VECTORS, ROWS)
                row += ROWS
            elif n_rows - row > 1:
                scores(q, stride, keys, ahead, d, n, w, SIZE, VECTORS, FEWER)
                row += FEWER
            else:
                scores(q, stride, keys, ahead, d, n, w, SIZE, 4, 1)
                row += 1

    score_rows.__qualname__ = f"score_rows_of_{name}"
    return device(score_rows)


_score_rows = in_tiles_of_rows(_scores, "floats")


@device
def weigh_rows(weights, values, ahead, row_nbytes, n_keys, n_rows, out, DV, SIZE, PV, SINGLE, ROWS,
               FEWER):  # fmt: skip
    """out[row] = the sum of values[key] * weights[row][key], in tiles of rows."""
    row = 0
    while row < n_rows:
        w, to = weights + row * WEIGHTS, out + row * DV * 4
        if fills_tile(n_rows - row, ROWS, FEWER):
            _weighted(w, values, ahead, row_nbytes, DV, n_keys, to, SIZE, PV, ROWS)
            row += ROWS
        elif n_rows - row > 1:
            _weighted(w, values, ahead, row_nbytes, DV, n_keys, to, SIZE, PV, FEWER)
            row += FEWER
        else:
            _weighted(w, values, ahead, row_nbytes, DV, n_keys, to, SIZE, SINGLE, 1)
            row += 1


@device
def last_seen(n_seen, n_rows, GROUP):
    """How many of a page's positions the last row sees, where the first one sees `n_seen`."""
    return min(n_seen + (n_rows - 1) // GROUP, PAGE)


@device
def attend_page(queries, states, keys, ahead, n_seen, window, n_rows, weights, out, D,
                DV, SIZE, GROUP, VECTORS, PV, SINGLE, ROWS, FEWER, CAP):  # fmt: skip
    """What a page gives: max and sum into `states`, values into `out`, rows of DV floats.

    `ahead` bytes from the page lies the next one, which is asked for meanwhile. All rows meet the
    keys, then all the values, either of which stay in the L1 cache. Where rows are left over, a
    tile computes more from stale, unused scratch.
    """
    n_keys = last_seen(n_seen, n_rows, GROUP)
    n_vectors = (n_keys + 63) // 64 * 4
    _score_rows(queries, DV * 4, keys, ahead, D, n_vectors, n_rows, weights, SIZE, VECTORS, ROWS,
                FEWER)  # fmt: skip
    softmax_rows(weights, states, n_seen, window, n_rows, n_vectors, GROUP, CAP)
    weigh_rows(weights, keys + PAGE * D * SIZE, ahead, DV * SIZE, n_keys, n_rows, out, DV, SIZE, PV,
               SINGLE, ROWS, FEWER)  # fmt: skip


@device
def take_queries(q, q_stride, n_rows, queries, D, DV, GROUP, scale, SIZE):
    """Copy the queries, scaled, to rows of DV floats."""
    for row in range(n_rows):
        source = q + row // GROUP * q_stride + row % GROUP * D * 4
        for v in range(DV // 16):
            x = mul(load(source + 64 * v), splat(scale))
            store(queries + row * DV * 4 + 64 * v, x)
