"""Rotary position embedding; what it has made goes into the cache (append.py).

GGUF's "llama" layout: neighbours (x[2i], x[2i+1]) are rotated by position * frequency[i], in plain
models theta ** (-2i / d) (Su et al., arXiv:2104.09864). Cosines and sines come from a table, so a
position always gets the same bits. A head's features behind the rotated ones stay as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.compiler.jit import Kernel, device, kernel_maker
from halfbyte.kernels.layouts.kv_pages import KV_TYPES, is_coded
from halfbyte.kernels.stages.append import append_codes, append_floats
from halfbyte.kernels.vectors.scalars import get_f32, put_f32
from halfbyte.kernels.vectors.simd import fma, load, mul, splat, store, sum_lanes


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


@kernel_maker
def rope_append_kernel(kv_type: str, head_dim: int, value_dim: int, group: int) -> Kernel:
    """Rotate a token's query heads of one group and its key, and write key and value.

    Arguments: q (the group's heads), k, v (this KV head's), table (the position's cosines and
    sines), n_rotated (features of a head, from the first on), position, head (address of the KV
    head in the position's page). Where codes are written, k and v have been rotated for these
    afterwards.
    """
    BITS, D, DV, GROUP = KV_TYPES[kv_type], head_dim, value_dim, group
    append = append_codes if is_coded(kv_type) else append_floats

    def rope_append(q, k, v, table, n_rotated, position, head):
        for i in range(GROUP):
            rotate(q + 4 * D * i, table, n_rotated)
        rotate(k, table, n_rotated)
        append(k, v, D, DV, position, head, BITS)

    return Kernel(rope_append, f"rope_append_{kv_type}_{head_dim}_{group}")


@kernel_maker
def rotate_queries_kernel(head_dim: int, group: int) -> Kernel:
    """The same of a layer that reads another's keys: a token's query heads of one group alone."""
    D, GROUP = head_dim, group

    def rotate_queries(q, k, v, table, n_rotated, position, head):
        for i in range(GROUP):
            rotate(q + 4 * D * i, table, n_rotated)

    return Kernel(rotate_queries, f"rotate_queries_{head_dim}_{group}")
