"""What one page of codes gives to a tile of query rows: attention_page.py's twin for "int8", "int4".

Queries are rotated as keys and values were, and made bytes with one scale. Scores are exact
integers times scales. The exponentials of a page's scores, times the scales of the values, become
whole numbers up to 16383, two bytes of 7 bits each, so that the weighted values are exact integers
too, which one multiply-add makes floats: all ISAs and tiles give the same bits.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.products.byte_dots import (
    LARGEST_WEIGHT,
    add_key_dots,
    add_value_dots,
    high_nibbles,
    load_codes,
    low_nibbles,
    put_start,
    start_sums,
    store_digits,
    weighted_sums,
    zero_sums,
)
from halfbyte.kernels.stages.attention_page import STATE, WEIGHTS, softmax_row
from halfbyte.kernels.vectors.hadamard import rotate_head
from halfbyte.kernels.vectors.scalars import get_f32, put_f32, stack
from halfbyte.kernels.vectors.simd import (
    absolute,
    fma,
    load,
    load_f16,
    max_lanes,
    maximum,
    mul,
    splat,
    store,
    store_rounded_i8,
    sum_lanes,
)
from halfbyte.kernels.vectors.tiles import (
    add_outer,
    add_scaled,
    load_column_f16,
    save_tile,
    zeros,
)

_INFINITY, _LARGEST = np.float32(np.inf), np.float32(LARGEST_WEIGHT)
_MAX_BLOCKS_NBYTES = 64
# Behind a query's D bytes: the scale, what sums of whole bytes begin with, and the scale times the
# sum of each block.
_START_AT, _SUMS_AT = 4, 8
# In a row of weights, behind its digits: the scale, and what the minima of values add up to.
_SCALE_AT = 2 * PAGE
_MINIMUM_AT = _SCALE_AT + 4


@device
def _block(d):
    """Features of a key that share a scale where codes have 4 bits."""
    return 32 if d % 32 == 0 else 16


@device
def take_query_codes(q, q_stride, n_rows, queries, D, DV, GROUP, scale):
    """Copy the queries, scaled, rotated, as bytes within +-127 and a scale, to rows of DV floats."""
    for row in range(n_rows):
        source = q + row // GROUP * q_stride + row % GROUP * D * 4
        to = queries + row * DV * 4
        for v in range(D // 16):
            store(to + 64 * v, mul(load(source + 64 * v), splat(scale)))
        rotate_head(to, D)
        largest = splat(np.float32(0))
        for v in range(D // 16):
            largest = maximum(absolute(load(to + 64 * v)), largest)
        top = max_lanes(largest)
        inverse = np.float32(127) / top
        if not inverse < _INFINITY:
            inverse = np.float32(0)
            top *= np.float32(0)  # NaN and infinity stay visible
        _query_bytes(to, D, inverse, top / np.float32(127))


@device
def _query_bytes(x, d, inverse, scale):
    """d floats to bytes in place, and what follows them."""
    block = _block(d)
    total, part, n_blocks = 0, 0, 0
    sums = stack(_MAX_BLOCKS_NBYTES)
    for v in range(d // 16):
        part += store_rounded_i8(x + 16 * v, mul(load(x + 64 * v), splat(inverse)))
        if (16 * v + 16) % block == 0:
            put_f32(sums + 4 * n_blocks, scale * np.float32(part))
            n_blocks += 1
            total += part
            part = 0
    put_f32(x + d, scale)
    put_start(x + d + _START_AT, total)
    for i in range(n_blocks):
        put_f32(x + d + _SUMS_AT + 4 * i, get_f32(sums + 4 * i))


# --- scores -----------------------------------------------------------------------------------


@device
def _scores_i8(q, stride, keys, d, group_nbytes, n_vectors, weights, n, tile):
    """weights[row][key] = q[row] . key, for `tile` rows and n vectors of 16 keys at a time."""
    for v in range(0, n_vectors, n):
        at = keys + v * group_nbytes
        dots = start_sums(q + d + _START_AT, stride, n, tile)
        for i in range(d // 4):
            codes = load_codes(at + 64 * i, group_nbytes, n)
            dots = add_key_dots(dots, codes, q + 4 * i, stride, 1, tile)
        scales = load_column_f16(at + 16 * d, group_nbytes, n)
        acc = add_scaled(zeros(n, tile), dots, scales, q + d, stride, tile)
        save_tile(acc, weights + 64 * v, 64, WEIGHTS, n, tile)


@device
def _scores_i4(q, stride, keys, d, group_nbytes, n_vectors, weights, BLOCK, n, tile):
    """The same from codes of 4 bits, with a scale and a minimum for BLOCK features."""
    for v in range(0, n_vectors, n):
        at = keys + v * group_nbytes
        acc = zeros(n, tile)
        for block in range(d // BLOCK):
            dots = zero_sums(n, tile)
            for i in range(block * BLOCK // 8, (block + 1) * BLOCK // 8):
                codes = load_codes(at + 64 * i, group_nbytes, n)
                dots = add_key_dots(dots, low_nibbles(codes), q + 8 * i, stride, 0, tile)
                dots = add_key_dots(dots, high_nibbles(codes), q + 8 * i + 4, stride, 0, tile)
            scales = load_column_f16(at + 8 * d + 64 * block, group_nbytes, n)
            minima = load_column_f16(at + 8 * d + 64 * block + 32, group_nbytes, n)
            acc = add_scaled(acc, dots, scales, q + d, stride, tile)
            acc = add_outer(acc, minima, q + d + _SUMS_AT + 4 * block, stride, tile)
        save_tile(acc, weights + 64 * v, 64, WEIGHTS, n, tile)


# --- weighted values --------------------------------------------------------------------------


@device
def _take_digits(weights, scales, n_vectors, HAS_MINIMA):
    """A row's weights times the values' scales as two digits each, in place."""
    largest, minima = splat(np.float32(0)), splat(np.float32(0))
    for v in range(n_vectors):
        e = load(weights + 64 * v)
        largest = maximum(mul(e, load_f16(scales + 32 * v)), largest)
        if HAS_MINIMA:
            minima = fma(e, load_f16(scales + 2 * PAGE + 32 * v), minima)
    top = max_lanes(largest)
    inverse = _LARGEST / top
    if not inverse < _INFINITY:
        inverse = np.float32(0)
        top *= np.float32(0)
    for v in range(n_vectors):
        u = mul(load(weights + 64 * v), load_f16(scales + 32 * v))
        store_digits(weights + 32 * v, mul(u, splat(inverse)))
    put_f32(weights + _SCALE_AT, top / _LARGEST)
    put_f32(weights + _MINIMUM_AT, sum_lanes(minima))


@device
def _weighted_i8(weights, values, dv, n_keys, out, n, tile):
    """out[row] = the sum of values[key] * weights[row][key], for `tile` rows."""
    for v in range(0, dv // 16, n):
        high, low = zero_sums(n, tile), zero_sums(n, tile)
        for four in range((n_keys + 3) // 4):
            codes = load_codes(values + four * dv * 4 + 64 * v, 64, n)
            digits = weights + four // 4 * 32 + four % 4 * 4
            high = add_value_dots(high, codes, digits, WEIGHTS, tile)
            low = add_value_dots(low, codes, digits + 16, WEIGHTS, tile)
        acc = weighted_sums(high, low, weights + _SCALE_AT, weights + _MINIMUM_AT, WEIGHTS, tile)
        save_tile(acc, out + 64 * v, 64, 4 * dv, n, tile)


@device
def _weighted_i4(weights, values, dv, n_keys, out, tile):
    """The same from codes of 4 bits, two vectors of features at a time."""
    for v in range(dv // 32):
        high, low = zero_sums(1, tile), zero_sums(1, tile)
        other_high, other_low = zero_sums(1, tile), zero_sums(1, tile)
        for four in range((n_keys + 3) // 4):
            both = load_codes(values + four * dv * 2 + 64 * v, 64, 1)
            codes, others = low_nibbles(both), high_nibbles(both)
            digits = weights + four // 4 * 32 + four % 4 * 4
            high = add_value_dots(high, codes, digits, WEIGHTS, tile)
            low = add_value_dots(low, codes, digits + 16, WEIGHTS, tile)
            other_high = add_value_dots(other_high, others, digits, WEIGHTS, tile)
            other_low = add_value_dots(other_low, others, digits + 16, WEIGHTS, tile)
        to, scales, minima = out + 128 * v, weights + _SCALE_AT, weights + _MINIMUM_AT
        acc = weighted_sums(high, low, scales, minima, WEIGHTS, tile)
        save_tile(acc, to, 64, 4 * dv, 1, tile)
        acc = weighted_sums(other_high, other_low, scales, minima, WEIGHTS, tile)
        save_tile(acc, to + 64, 64, 4 * dv, 1, tile)


# --- a page -----------------------------------------------------------------------------------


@device
def _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights, out, D,
              DV, BITS, GROUP, QK, PV, TILE, HALF):  # fmt: skip
    """A page's states and values for TILE rows from `row` on; those beyond n_rows are unused.

    Values are taken for HALF of the rows at a time, as each has two sums.
    """
    n_vectors, stride = (n_keys + 63) // 64 * 4, DV * 4
    w, q = weights + row * WEIGHTS, queries + row * stride
    if BITS == 8:
        group_nbytes = 16 * D + 32
        _scores_i8(q, stride, keys, D, group_nbytes, n_vectors, w, QK, TILE)
    else:
        block = _block(D)
        group_nbytes = 8 * D + D // block * 64
        _scores_i4(q, stride, keys, D, group_nbytes, n_vectors, w, block, QK, TILE)
    scales = keys + PAGE // 16 * group_nbytes
    for r in range(row, min(row + TILE, n_rows)):
        n_seen, at = position + r // GROUP + 1 - begin, weights + r * WEIGHTS
        softmax_row(at, n_seen - window, n_seen, n_vectors, states + r * STATE)
        _take_digits(at, scales, n_vectors, BITS == 4)
    for part in range(0, TILE, HALF):
        w, to = weights + (row + part) * WEIGHTS, out + (row + part) * stride
        if BITS == 8:
            _weighted_i8(w, scales + 2 * PAGE, DV, n_keys, to, PV, HALF)
        else:
            _weighted_i4(w, scales + 4 * PAGE, DV, n_keys, to, HALF)


@device
def attend_codes(queries, states, keys, position, window, begin, n_keys, n_rows, weights, out, D,
                 DV, BITS, GROUP, VECTORS, ROWS, HALF, SINGLE):  # fmt: skip
    """What a page gives, as attention_page.attend_page says."""
    row = 0
    while row < n_rows:
        left = n_rows - row
        if left > HALF:
            _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights,
                      out, D, DV, BITS, GROUP, VECTORS, VECTORS, ROWS, HALF)  # fmt: skip
            row += ROWS
        elif left > 1:
            _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights,
                      out, D, DV, BITS, GROUP, VECTORS, VECTORS, HALF, HALF)  # fmt: skip
            row += HALF
        else:
            _row_tile(queries, states, keys, position, window, begin, n_keys, row, n_rows, weights,
                      out, D, DV, BITS, GROUP, 4, SINGLE, 1, 1)  # fmt: skip
            row += 1
