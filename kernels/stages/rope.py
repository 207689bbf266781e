"""Rotary position embedding, and writing keys and values into the cache.

GGUF's "llama" layout: neighbours (x[2i], x[2i+1]) are rotated by position * frequency[i], in plain
models theta ** (-2i / d) (Su et al., arXiv:2104.09864). Cosines and sines come from a table, so a
position always gets the same bits. A head's features behind the rotated ones stay as they are.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.compiler.jit import Kernel, device
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.vectors.scalars import get_f32, put_f16, put_f32
from halfbyte.kernels.vectors.simd import fma, load, mul, splat, store, sum_lanes

# Keys and values must stay finite: a weight of 0 makes nothing of them only then.
_LARGEST_F16 = np.float32(65504)
_LARGEST_F32 = np.float32(3.0e38)


def rope_table(
    begin: int, end: int, frequencies: NDArray[np.float64], factor: float = 1.0
) -> NDArray[np.float32]:
    """cos and sin of each position and pair in turn, times a factor: float32 (n, 2 * pairs)."""
    angles = np.arange(begin, end, dtype=np.float64)[:, None] * frequencies
    return (
        (np.stack([np.cos(angles), np.sin(angles)], axis=-1) * factor)
        .astype(np.float32)
        .reshape(end - begin, 2 * len(frequencies))
    )


@device
def rotate(x, table, d):
    """Rotate the d floats at x in place by one position's row of the table."""
    for i in range(0, d, 2):
        c, s = get_f32(table + 4 * i), get_f32(table + 4 * i + 4)
        a, b = get_f32(x + 4 * i), get_f32(x + 4 * i + 4)
        put_f32(x + 4 * i, a * c - b * s)
        put_f32(x + 4 * i + 4, a * s + b * c)


@device
def _clamp(x, largest):
    """x within +-largest; a NaN becomes `largest`."""
    x = x if x < largest else largest
    return x if x > -largest else -largest


@device
def append(k, v, d, dv, position, head, is_f16):
    """Write one position's key and value of a head; `head` is its address in the page."""
    slot = position % PAGE
    if is_f16:
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


@device
def add_bias(x, bias, n):
    """x += bias, n floats."""
    for i in range(n):
        put_f32(x + 4 * i, get_f32(x + 4 * i) + get_f32(bias + 4 * i))


@device
def scale(x, factor, n):
    """x *= factor, n floats."""
    for i in range(n):
        put_f32(x + 4 * i, get_f32(x + 4 * i) * factor)


@device
def norm_head(x, weight, n, eps):
    """x = x / sqrt(mean(x^2) + eps) * weight in place, over the n floats of a head."""
    n_vectors = n // 16
    squares = splat(np.float32(0))
    for i in range(n_vectors):
        v = load(x + 64 * i)
        squares = fma(v, v, squares)
    total = sum_lanes(squares)
    for i in range(16 * n_vectors, n):
        total += get_f32(x + 4 * i) * get_f32(x + 4 * i)
    scale = np.float32(1) / np.sqrt(total / np.float32(n) + eps)
    for i in range(n_vectors):
        at = 64 * i
        store(x + at, mul(mul(load(x + at), splat(scale)), load(weight + at)))
    for i in range(16 * n_vectors, n):
        put_f32(x + 4 * i, get_f32(x + 4 * i) * scale * get_f32(weight + 4 * i))


@cache
def rope_append_kernel(kv_type: str, head_dim: int, value_dim: int, group: int) -> Kernel:
    """Rotate a token's query heads of one group and its key, and write key and value.

    Arguments: q (the group's heads), k, v (this KV head's), table (the position's cosines and
    sines), n_rotated (features of a head, from the first on), position, head (address of the KV
    head in the position's page).
    """
    IS_F16, D, DV, GROUP = int(kv_type == "f16"), head_dim, value_dim, group

    def rope_append(q, k, v, table, n_rotated, position, head):
        for i in range(GROUP):
            rotate(q + 4 * D * i, table, n_rotated)
        rotate(k, table, n_rotated)
        append(k, v, D, DV, position, head, IS_F16)

    return Kernel(rope_append, f"rope_append_{kv_type}_{head_dim}_{group}")
