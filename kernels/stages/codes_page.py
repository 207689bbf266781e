"""What a page of codes gives to a tile of query rows: attention_page.py's twin for "int8", "int4".

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
    high_values,
    key_codes,
    load_codes,
    low_values,
    put_start,
    start_sums,
    store_digits,
    weighted_sums,
    zero_sums,
)
from halfbyte.kernels.stages.attention_page import WEIGHTS, fills_tile, prefetch_lines, softmax_rows
from halfbyte.kernels.vectors.hadamard import rotate_head
from halfbyte.kernels.vectors.scalars import put_f32
from halfbyte.kernels.vectors.simd import (
    absolute,
    load,
    load_f16,
    max_lanes,
    maximum,
    mul,
    splat,
    store,
    store_rounded_i8,
)
from halfbyte.kernels.vectors.tiles import add_scaled, load_column_f16, save_tile, zeros

_INFINITY, _LARGEST = np.float32(np.inf), np.float32(LARGEST_WEIGHT)
_START_AT = 4  # behind a query's D bytes lie the scale, and what its sums begin with
_SCALE_AT = 2 * PAGE  # behind the digits of a row's weights lies their scale


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
            largest = maximum(absolute(load(to + 64 * v)), largest)
        top = max_lanes(largest)
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


# --- weighted values --------------------------------------------------------------------------


@device
def _take_digits(weights, scales, n_vectors):
    """A row's weights times the values' scales as two digits each, in place."""
    largest = splat(np.float32(0))
    for v in range(n_vectors):
        largest = maximum(mul(load(weights + 64 * v), load_f16(scales + 32 * v)), largest)
    top = max_lanes(largest)
    inverse = _LARGEST / top
    if not inverse < _INFINITY:
        inverse = np.float32(0)
        top *= np.float32(0)
    for v in range(n_vectors):
        weighted = mul(load(weights + 64 * v), load_f16(scales + 32 * v))
        store_digits(weights + 32 * v, mul(weighted, splat(inverse)))
    put_f32(weights + _SCALE_AT, top / _LARGEST)


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
            high = add_value_dots(high, codes, digits, WEIGHTS, tile)
            low = add_value_dots(low, codes, digits + 16, WEIGHTS, tile)
        acc = weighted_sums(high, low, weights + _SCALE_AT, WEIGHTS, tile)
        save_tile(acc, out + 64 * v, 64, 4 * dv, n, tile)


@device
def _weighted_nibbles(weights, values, ahead, dv, n_keys, out, tile):
    """The same from codes of 4 bits, two vectors of features at a time."""
    n_fours = (n_keys + 3) // 4
    for v in range(dv // 32):
        high, low = zero_sums(1, tile), zero_sums(1, tile)
        other_high, other_low = zero_sums(1, tile), zero_sums(1, tile)
        for four in range(n_fours):
            prefetch_lines(values + ahead + 64 * (v * n_fours + four), 64)
            both = load_codes(values + four * dv * 2 + 64 * v, 64, 1)
            codes, others = low_values(both), high_values(both)
            digits = weights + four // 4 * 32 + four % 4 * 4
            high = add_value_dots(high, codes, digits, WEIGHTS, tile)
            low = add_value_dots(low, codes, digits + 16, WEIGHTS, tile)
            other_high = add_value_dots(other_high, others, digits, WEIGHTS, tile)
            other_low = add_value_dots(other_low, others, digits + 16, WEIGHTS, tile)
        acc = weighted_sums(high, low, weights + _SCALE_AT, WEIGHTS, tile)
        save_tile(acc, out + 128 * v, 64, 4 * dv, 1, tile)
        acc = weighted_sums(other_high, other_low, weights + _SCALE_AT, WEIGHTS, tile)
        save_tile(acc, out + 128 * v + 64, 64, 4 * dv, 1, tile)


# --- a page -----------------------------------------------------------------------------------


@device
def _weighted(weights, values, ahead, dv, n_keys, out, BITS, n, tile):
    """The same from codes of either size."""
    if BITS == 8:
        _weighted_bytes(weights, values, ahead, dv, n_keys, out, n, tile)
    else:
        _weighted_nibbles(weights, values, ahead, dv, n_keys, out, tile)


@device
def attend_codes(queries, states, keys, ahead, n_seen, window, n_keys, n_rows, weights, out, D,
                 DV, BITS, GROUP, VECTORS, PV, SINGLE, ROWS, FEWER, CAP):  # fmt: skip
    """What a page gives, as attention_page.attend_page says.

    Values are taken for FEWER rows at a time, as each has two sums.
    """
    n_vectors, row, stride = (n_keys + 63) // 64 * 4, 0, DV * 4
    key_bits = 8 if BITS == 8 else 6
    scales = keys + PAGE // 16 * (2 * D * key_bits + 32)
    values = scales + 2 * PAGE
    while row < n_rows:
        q, w = queries + row * stride, weights + row * WEIGHTS
        if fills_tile(n_rows - row, ROWS, FEWER):
            _scores(q, stride, keys, ahead, D, n_vectors, w, BITS, VECTORS, ROWS)
            row += ROWS
        elif n_rows - row > 1:
            _scores(q, stride, keys, ahead, D, n_vectors, w, BITS, VECTORS, FEWER)
            row += FEWER
        else:
            _scores(q, stride, keys, ahead, D, n_vectors, w, BITS, 4, 1)
            row += 1
    softmax_rows(weights, states, n_seen, window, n_rows, n_vectors, GROUP, CAP)
    for row in range(n_rows):
        _take_digits(weights + row * WEIGHTS, scales, n_vectors)
    row = 0
    while row < n_rows:
        w, to = weights + row * WEIGHTS, out + row * stride
        if n_rows - row > 1:
            _weighted(w, values, ahead, DV, n_keys, to, BITS, PV, FEWER)
            row += FEWER
        else:
            _weighted(w, values, ahead, DV, n_keys, to, BITS, SINGLE, 1)
            row += 1
