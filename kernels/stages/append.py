"""Writing a position's key and value of a head into a page, as kv_pages.py lays them out."""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.kv_pages import PAGE
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
    load,
    max_lanes,
    maximum,
    minimum,
    mul,
    splat,
    store,
    store_rounded_i8,
)

# Keys and values must stay finite: a weight of 0 makes nothing of them only then.
_LARGEST_F16 = np.float32(65504)
_LARGEST_F32 = np.float32(3.0e38)
_INFINITY = np.float32(np.inf)
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
def _clamp_floats(x, d):
    """d floats, within what half precision holds; NaN becomes the largest."""
    for v in range(d // 16):
        y = minimum(load(x + 64 * v), splat(_LARGEST_F16))
        store(x + 64 * v, maximum(y, splat(-_LARGEST_F16)))


@device
def _to_bytes(x, d, scale_at, out):
    """d floats to bytes within +-127, with a scale in half precision."""
    largest = splat(np.float32(0))
    for v in range(d // 16):
        largest = maximum(absolute(load(x + 64 * v)), largest)
    put_f16(scale_at, max_lanes(largest) / np.float32(127) + _HALF_STEP)
    inverse = np.float32(1) / get_f16(scale_at)
    if not inverse < _INFINITY:
        inverse = np.float32(0)
    for v in range(d // 16):
        y = minimum(mul(load(x + 64 * v), splat(inverse)), splat(np.float32(127)))
        store_rounded_i8(out + 16 * v, maximum(y, splat(np.float32(-127))))


@device
def append_codes(k, v, d, dv, position, head, BITS):
    """Write one position's key and value of a head as codes."""
    for i in range(2):
        x = k if i == 0 else v
        _clamp_floats(x, d)
        rotate_head(x, d)
        _clamp_floats(x, d)
    _append_i8(k, v, d, dv, position % PAGE, head)


@device
def _append_i8(k, v, d, dv, slot, head):
    codes = stack(1024)
    group_nbytes = 16 * d + 32
    at = head + slot // 16 * group_nbytes
    _to_bytes(k, d, at + 16 * d + slot % 16 * 2, codes)
    for i in range(d // 4):
        put_i32(at + 64 * i + slot % 16 * 4, get_i32(codes + 4 * i) ^ np.int32(-0x7F7F7F80))
    at = head + PAGE // 16 * group_nbytes
    _to_bytes(v, d, at + 2 * slot, codes)
    at += 2 * PAGE + slot // 4 * 4 * dv + slot % 4
    for i in range(d):
        put_u8(at + 4 * i, get_u8(codes + i))
