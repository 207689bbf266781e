"""What a page of codes gives to a tile of query rows: attention_page.py's twin for "int8", "int4".

Queries are rotated as keys and values were, and made bytes with one scale. Scores are exact
integers times scales. The exponentials of a page's scores, times the scales of the values, become
whole numbers, so that the weighted values are exact integers too, which one product makes floats:
all ISAs and tiles give the same bits. For values of 8 bits they go up to 16383, two bytes of 7 bits
each. Values of 4 bits are coarser by far than one byte, where what a weight loses by rounding is
added to the next of its lane, 16 positions on: many small weights do not vanish beside a large one.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.products.byte_dots import (
    LARGEST_OF_BYTE,
    LARGEST_OF_DIGITS,
    add_key_dots,
    add_value_dots,
    high_values,
    join_digits,
    key_codes,
    load_codes,
    low_values,
    put_start,
    scaled_sums,
    start_sums,
    store_digits,
    zero_sums,
)
from halfbyte.kernels.stages.attention_page import (
    PLANE,
    WEIGHTS,
    fills_tile,
    find_maxima,
    in_tiles_of_rows,
    last_seen,
    prefetch_lines,
)
from halfbyte.kernels.vectors.hadamard import rotate_head
from halfbyte.kernels.vectors.scalars import get_f32, put_f32
from halfbyte.kernels.vectors.simd import (
    ROUND,
    add,
    add_all,
    fma,
    larger_magnitude,
    largest_magnitude,
    load,
    max_all,
    max_lanes,
    mul,
    splat,
    store,
    store_rounded_i8,
    sub,
    sum_lanes,
)
from halfbyte.kernels.vectors.tiles import (
    add_scaled,
    load_column,
    load_column_f16,
    save_tile,
    zeros,
)
from halfbyte.kernels.vectors.vector_math import exp_below_0

_INFINITY, _ROUND = np.float32(np.inf), np.float32(ROUND)
_START_AT = 4  # behind a query's D bytes lie the scale, and what its sums begin with
_SCALE_AT = 2 * PAGE  # behind a row's weights, of one byte or two each, lies their scale


@device
def take_query_codes(q, q_stride, n_rows, queries, D, DV, GROUP, scale, BITS):
    """Copy the queries, scaled and rotated, as bytes and a scale to rows of DV floats."""
    for row in range(n_rows):
        source = q + row // GROUP * q_stride + row % GROUP * D * 4
        to = queries + row * DV * 4
        largest = splat(np.float32(0))
        for v in range(D // 16):
            store(to + 64 * v, mul(load(source + 64 * v), splat(scale)))
        rotate_head(to, D)
        for v in range(D // 16):
            largest = larger_magnitude(load(to + 64 * v), largest)
        top = largest_magnitude(largest)
        inverse, total = np.float32(127) / top, 0
        if not inverse < _INFINITY:
            inverse = np.float32(0)
            top *= np.float32(0)  # NaN and infinity stay visible
        for v in range(D // 16):
            total += store_rounded_i8(to + 16 * v, mul(load(to + 64 * v), splat(inverse)))
        put_f32(to + D, top / np.float32(127))
        put_start(to + D + _START_AT, total, BITS)


# --- scores -----------------------------------------------------------------------------------


@device
def _byte_dots(dots, at, ahead, group_nbytes, q, stride, d, n, tile):
    """The exact sums of queries times keys of whole bytes."""
    for i in range(d // 4):
        prefetch_lines(at + ahead + 64 * n * i, 64 * n)
        codes = load_codes(at + 64 * i, group_nbytes, n)
        dots = add_key_dots(dots, codes, q + 4 * i, stride, 1, tile)
    return dots


@device
def _six_bit_dots(dots, at, ahead, group_nbytes, q, stride, d, n, tile):
    """The same of codes of 6 bits."""
    for i in range(d // 16):
        prefetch_lines(at + ahead + 192 * n * i, 192 * n)
        pairs = load_codes(at + 192 * i + 128, group_nbytes, n)
        x = q + 16 * i
        nibbles = load_codes(at + 192 * i, group_nbytes, n)
        dots = add_key_dots(dots, key_codes(nibbles, pairs, 0), x, stride, 0, tile)
        dots = add_key_dots(dots, key_codes(nibbles, pairs, 1), x + 4, stride, 0, tile)
        nibbles = load_codes(at + 192 * i + 64, group_nbytes, n)
        dots = add_key_dots(dots, key_codes(nibbles, pairs, 2), x + 8, stride, 0, tile)
        dots = add_key_dots(dots, key_codes(nibbles, pairs, 3), x + 12, stride, 0, tile)
    return dots


@device
def _scores(q, stride, keys, ahead, d, n_vectors, weights, BITS, n, tile):
    """weights[row][key] = q[row] . key, for `tile` rows and n vectors of 16 keys at a time."""
    key_bits = 8 if BITS == 8 else 6
    group_nbytes = 2 * d * key_bits + 32
    for v in range(0, n_vectors, n):
        at = keys + v * group_nbytes
        dots = start_sums(q + d + _START_AT, stride, n, tile)
        if BITS == 8:
            dots = _byte_dots(dots, at, ahead, group_nbytes, q, stride, d, n, tile)
        else:
            dots = _six_bit_dots(dots, at, ahead, group_nbytes, q, stride, d, n, tile)
        scales = load_column_f16(at + group_nbytes - 32, group_nbytes, n)
        acc = add_scaled(zeros(n, tile), dots, scales, q + d, stride, tile)
        save_tile(acc, weights + 64 * v, 64, WEIGHTS, n, tile)


# --- weights of positions ---------------------------------------------------------------------


@device
def _weigh(weights, scales, top, n_vectors):
    """A row's scores -> exponentials below `top`, times the scales of the values.

    Returns the exponentials' sum, and the largest product.
    """
    total, largest = splat(np.float32(0)), splat(np.float32(0))
    for v in range(0, n_vectors, 4):  # four at a time, which wait for each other less
        e = exp_below_0(sub(load_column(weights + 64 * v, 64, 4), splat(top)))
        total = add_all(total, e)
        weighted = mul(e, load_column_f16(scales + 32 * v, 32, 4))
        save_tile(weighted, weights + 64 * v, 64, 0, 4, 1)
        largest = max_all(largest, weighted)
    return sum_lanes(total), max_lanes(largest)


@device
def _take_digits(weights, inverse, n_vectors):
    """A row's weights as two digits each, in place."""
    for v in range(n_vectors):
        store_digits(weights + 32 * v, mul(load(weights + 64 * v), splat(inverse)))


@device
def _take_bytes(weights, inverse, n_vectors):
    """A row's weights as bytes, in place."""
    lost = splat(np.float32(0))
    for v in range(n_vectors):
        wanted = fma(load(weights + 64 * v), splat(inverse), lost)
        lost = sub(wanted, sub(add(wanted, splat(_ROUND)), splat(_ROUND)))
        store_rounded_i8(weights + 16 * v, wanted)


@device
def _take_weights(weights, states, scales, n_rows, n_vectors, tops, stride, BITS):
    """Rows of scores -> weights as integers, and their scales. Keeps the exponentials' sums.

    `tops`: a place for a float of each row, `stride` bytes apart.
    """
    for row in range(n_rows):
        top = get_f32(states + 4 * row)
        total, largest = _weigh(weights + row * WEIGHTS, scales, top, n_vectors)
        put_f32(states + PLANE + 4 * row, total)
        put_f32(tops + row * stride, largest)
    most = np.float32(LARGEST_OF_DIGITS if BITS == 8 else LARGEST_OF_BYTE)
    for row in range(n_rows):  # a loop of its own: then no row waits for its largest
        at, top = weights + row * WEIGHTS, get_f32(tops + row * stride)
        inverse = most / top
        if not inverse < _INFINITY:
            inverse = np.float32(0)
            top *= np.float32(0)
        if BITS == 8:
            _take_digits(at, inverse, n_vectors)
        else:
            _take_bytes(at, inverse, n_vectors)
        put_f32(at + _SCALE_AT, top / most)


# --- weighted values --------------------------------------------------------------------------


@device
def _weighted_bytes(weights, values, ahead, dv, n_keys, out, n, tile):
    """out[row] = the sum of values[key] * weights[row][key], for `tile` rows."""
    n_fours = (n_keys + 3) // 4
    for v in range(0, dv // 16, n):
        high, low = zero_sums(n, tile), zero_sums(n, tile)
        for four in range(n_fours):
            prefetch_lines(values + ahead + 64 * (v * n_fours + four * n), 64 * n)
            codes = load_codes(values + four * dv * 4 + 64 * v, 64, n)
            digits = weights + four // 4 * 32 + four % 4 * 4
            high = add_value_dots(high, codes, digits, WEIGHTS, 0, tile)
            low = add_value_dots(low, codes, digits + 16, WEIGHTS, 0, tile)
        acc = scaled_sums(join_digits(high, low), weights + _SCALE_AT, WEIGHTS, tile)
        save_tile(acc, out + 64 * v, 64, 4 * dv, n, tile)


@device
def _weighted_nibbles(weights, values, ahead, dv, n_keys, out, n, tile):
    """The same from codes of 4 bits: n vectors are 32 n features."""
    n_fours = (n_keys + 3) // 4
    for v in range(0, dv // 32, n):
        low, high = zero_sums(n, tile), zero_sums(n, tile)
        for four in range(n_fours):
            prefetch_lines(values + ahead + 64 * (v * n_fours + four * n), 64 * n)
            codes = load_codes(values + four * dv * 2 + 64 * v, 64, n)
            fours = weights + 4 * four
            low = add_value_dots(low, low_values(codes), fours, WEIGHTS, 1, tile)
            high = add_value_dots(high, high_values(codes), fours, WEIGHTS, 1, tile)
        acc = scaled_sums(low, weights + _SCALE_AT, WEIGHTS, tile)
        save_tile(acc, out + 128 * v, 128, 4 * dv, n, tile)
        acc = scaled_sums(high, weights + _SCALE_AT, WEIGHTS, tile)
        save_tile(acc, out + 128 * v + 64, 128, 4 * dv, n, tile)


@device
def _weigh_bytes(weights, values, ahead, dv, n_keys, n_rows, out, PV, SINGLE, FEWER):
    """The same for all rows: FEWER of them at a time, as each has two sums."""
    row = 0
    while row < n_rows:
        w, to = weights + row * WEIGHTS, out + row * dv * 4
        if n_rows - row > 1:
            _weighted_bytes(w, values, ahead, dv, n_keys, to, PV, FEWER)
            row += FEWER
        else:
            _weighted_bytes(w, values, ahead, dv, n_keys, to, SINGLE, 1)
            row += 1


@device
def _weigh_nibbles(weights, values, ahead, dv, n_keys, n_rows, out, PV, SINGLE, ROWS, FEWER):
    """The same from codes of 4 bits, in tiles of rows as the scores are."""
    row = 0
    while row < n_rows:
        w, to = weights + row * WEIGHTS, out + row * dv * 4
        if fills_tile(n_rows - row, ROWS, FEWER):
            _weighted_nibbles(w, values, ahead, dv, n_keys, to, PV, ROWS)
            row += ROWS
        elif n_rows - row > 1:
            _weighted_nibbles(w, values, ahead, dv, n_keys, to, PV, FEWER)
            row += FEWER
        else:
            _weighted_nibbles(w, values, ahead, dv, n_keys, to, SINGLE, 1)
            row += 1


# --- a page -----------------------------------------------------------------------------------


_score_rows = in_tiles_of_rows(_scores, "codes")


@device
def attend_codes(queries, states, keys, ahead, n_seen, window, n_rows, weights, out, D,
                 DV, BITS, GROUP, VECTORS, PV, SINGLE, ROWS, FEWER, CAP):  # fmt: skip
    """What a page gives, as attention_page.attend_page says."""
    n_keys = last_seen(n_seen, n_rows, GROUP)
    n_vectors, stride = (n_keys + 63) // 64 * 4, DV * 4
    key_bits = 8 if BITS == 8 else 6
    scales = keys + PAGE // 16 * (2 * D * key_bits + 32)
    values = scales + 2 * PAGE
    _score_rows(queries, stride, keys, ahead, D, n_vectors, n_rows, weights, BITS, VECTORS, ROWS,
                FEWER)  # fmt: skip
    find_maxima(weights, states, n_seen, window, n_rows, n_vectors, GROUP, CAP)
    _take_weights(weights, states, scales, n_rows, n_vectors, out, stride, BITS)
    if BITS == 8:
        _weigh_bytes(weights, values, ahead, DV, n_keys, n_rows, out, PV, SINGLE, FEWER)
    else:
        _weigh_nibbles(weights, values, ahead, DV, n_keys, n_rows, out, PV, SINGLE, ROWS,
                       FEWER)  # fmt: skip
