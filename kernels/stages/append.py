"""Writing a position's key and value of a head into a page, as kv_pages.py lays them out."""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.kv_pages import MAX_CODED_DIM, PAGE
from halfbyte.kernels.vectors.hadamard import rotate_head
from halfbyte.kernels.vectors.scalars import (
    get_f16,
    get_f32,
    get_i32,
    get_u8,
    put_f16,
    put_f32,
    put_i32,
    put_u8,
    stack,
)
from halfbyte.kernels.vectors.simd import (
    absolute,
    fma,
    load,
    max_lanes,
    maximum,
    minimum,
    splat,
    store,
    store_rounded_i8,
)

# Keys and values must stay finite: a weight of 0 makes nothing of them only then.
_LARGEST_F16 = np.float32(65504)
_LARGEST_F32 = np.float32(3.0e38)
_INFINITY = np.float32(np.inf)
_ZERO, _HALF, _BYTE = np.float32(0), np.float32(0.5), np.float32(127)
_FLOATS_NBYTES = 4 * MAX_CODED_DIM
_NIBBLES, _PAIRS = 0x0F0F0F0F, 0x03030303
# Scales are rounded up where half precision has few digits left, so that codes can reach all.
_HALF_STEP = np.float32(2.0**-25)


@device
def _clamp(x, largest):
    """x within +-largest; a NaN becomes `largest`."""
    x = x if x < largest else largest
    return x if x > -largest else -largest


@device
def append_floats(k, v, d, dv, position, head, BITS):
    """Write one position's key and value of a head; `head` is its address in the page."""
    slot = position % PAGE
    if BITS == 16:
        keys = head + (slot // 16 * d * 16 + slot % 16) * 2
        values = head + (PAGE * d + slot * dv) * 2
        for i in range(d):
            put_f16(keys + 32 * i, _clamp(get_f32(k + 4 * i), _LARGEST_F16))
            put_f16(values + 2 * i, _clamp(get_f32(v + 4 * i), _LARGEST_F16))
    else:
        keys = head + (slot // 16 * d * 16 + slot % 16) * 4
        values = head + (PAGE * d + slot * dv) * 4
        for i in range(d):
            put_f32(keys + 64 * i, _clamp(get_f32(k + 4 * i), _LARGEST_F32))
            put_f32(values + 4 * i, _clamp(get_f32(v + 4 * i), _LARGEST_F32))


# --- codes ------------------------------------------------------------------------------------


@device
def _put_scale(x, d, steps, at):
    """Write the scale by which d floats come within +-steps; returns one over it, or 0."""
    largest = splat(np.float32(0))
    for v in range(d // 16):
        largest = maximum(absolute(load(x + 64 * v)), largest)
    put_f16(at, max_lanes(largest) / steps + _HALF_STEP)
    inverse = np.float32(1) / get_f16(at)
    return inverse if inverse < _INFINITY else np.float32(0)


@device
def _put_codes(x, d, factor, middle, lowest, highest, codes):
    """d floats as bytes: x * factor + middle, rounded to nearest even, from lowest to highest."""
    for v in range(d // 16):
        y = fma(load(x + 64 * v), splat(factor), splat(middle))
        y = maximum(minimum(y, splat(highest)), splat(lowest))
        store_rounded_i8(codes + 16 * v, y)


@device
def append_codes(k, v, d, dv, position, head, BITS):
    """Write one position's key and value of a head as codes, of copies that are rotated."""
    x, codes, slot = stack(_FLOATS_NBYTES), stack(MAX_CODED_DIM), position % PAGE
    key_bits = 8 if BITS == 8 else 6
    group_nbytes = 2 * d * key_bits + 32
    keys, values = head + slot // 16 * group_nbytes, head + PAGE // 16 * group_nbytes
    scale_at = keys + group_nbytes - 32 + slot % 16 * 2
    _rotated(k, d, x)
    if BITS == 8:
        inverse = _put_scale(x, d, np.float32(127), scale_at)
        _put_codes(x, d, inverse, _ZERO, -_BYTE, _BYTE, codes)
        _put_key_bytes(codes, d, keys + slot % 16 * 4)
    else:
        inverse = _put_scale(x, d, np.float32(63), scale_at)
        _put_codes(x, d, inverse * _HALF, _HALF * np.float32(63), _ZERO, np.float32(63), codes)
        _put_six_bits(codes, d, keys + slot % 16 * 4)
    _rotated(v, d, x)
    to = values + 2 * PAGE + slot // 4 * 4 * dv * BITS // 8 + slot % 4
    if BITS == 8:
        inverse = _put_scale(x, d, np.float32(127), values + 2 * slot)
        _put_codes(x, d, inverse, _ZERO, -_BYTE, _BYTE, codes)
        for i in range(d):
            put_u8(to + 4 * i, get_u8(codes + i))
    else:
        inverse = _put_scale(x, d, np.float32(15), values + 2 * slot)
        _put_codes(x, d, inverse * _HALF, _HALF * np.float32(15), _ZERO, np.float32(15), codes)
        _put_nibbles(codes, d, to)


@device
def _rotated(source, d, x):
    """d floats within what half precision holds, rotated, and once more within it."""
    for v in range(d // 16):
        store(x + 64 * v, _within(load(source + 64 * v)))
    rotate_head(x, d)
    for v in range(d // 16):
        store(x + 64 * v, _within(load(x + 64 * v)))


@device
def _within(x):
    """x within +-65504; NaN becomes the largest."""
    return maximum(minimum(x, splat(_LARGEST_F16)), splat(-_LARGEST_F16))


@device
def _put_key_bytes(codes, d, at):
    """Bytes by fours, each 128 more than what it means."""
    for i in range(d // 4):
        put_i32(at + 64 * i, get_i32(codes + 4 * i) ^ np.int32(-0x7F7F7F80))


@device
def _put_six_bits(codes, d, at):
    """Sixteen codes: their low 4 bits in two vectors, the high 2 in one."""
    for i in range(d // 16):
        pairs = np.int32(0)
        for half in range(2):
            four = codes + 16 * i + 8 * half
            first, second = get_i32(four), get_i32(four + 4)
            low = first & _NIBBLES | (second & _NIBBLES) << 4
            put_i32(at + 192 * i + 64 * half, np.int32(low))
            pair = first >> 4 & _PAIRS | (second >> 4 & _PAIRS) << 2
            pairs = np.int32(pairs | pair << 4 * half)
        put_i32(at + 192 * i + 128, pairs)


@device
def _put_nibbles(codes, d, at):
    """Sixteen codes to the low halves of bytes, the next sixteen to the high ones."""
    for i in range(d):
        to = at + i // 32 * 64 + i % 16 * 4
        if i % 32 < 16:
            put_u8(to, get_u8(codes + i))
        else:
            put_u8(to, np.uint8(get_u8(to) | get_u8(codes + i) << 4))
