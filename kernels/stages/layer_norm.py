"""LayerNorm, which takes the mean from a row first; most models have RMSNorm (rows.py)."""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import kernel
from halfbyte.kernels.stages.record import INPUT
from halfbyte.kernels.vectors.scalars import get_f32, get_i64
from halfbyte.kernels.vectors.simd import (
    add,
    fma,
    keep_first,
    load,
    mul,
    splat,
    store,
    sub,
    sum_lanes,
)


@kernel
def layer_norm(stage, x, out):
    """out = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias of a row; both may be 0."""
    weight, bias = get_i64(stage + INPUT.weight), get_i64(stage + INPUT.norm_bias)
    n, eps = get_i64(stage + INPUT.dim), get_f32(stage + INPUT.eps)
    n_vectors, zero = (n + 31) // 32 * 2, splat(np.float32(0))
    total, squares = zero, zero
    for i in range(n_vectors):
        total = add(total, load(x + 64 * i))
    mean = splat(sum_lanes(total) / np.float32(n))
    for i in range(n_vectors):
        v = keep_first(sub(load(x + 64 * i), mean), n - 16 * i, zero)
        store(out + 64 * i, v)
        squares = fma(v, v, squares)
    scale = splat(np.float32(1) / np.sqrt(sum_lanes(squares) / np.float32(n) + eps))
    for i in range(n_vectors):
        v = mul(load(out + 64 * i), scale)
        if weight != 0:
            v = mul(v, load(weight + 64 * i))
        if bias != 0:
            v = add(v, load(bias + 64 * i))
        store(out + 64 * i, v)
