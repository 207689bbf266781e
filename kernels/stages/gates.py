"""Gates of what attention gives: each feature is multiplied by the softplus or sigmoid of a number.

A number is its head's, or its own. Sources: the cards of Laguna XS 2.1 and Qwen3-Next.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.record import GATES
from halfbyte.kernels.stages.rows import n_rows
from halfbyte.kernels.vectors.scalars import get_f32, get_i64, put_f32
from halfbyte.kernels.vectors.simd import first_lane, load, mul, splat, store
from halfbyte.kernels.vectors.vector_math import sigmoid, softplus

ACTIVATIONS = SOFTPLUS, SIGMOID = 0, 1

_BLOCK = 32  # features that are rounded together: those behind the last one count


@kernel
def gate_attended(stage, step, chunk, n_chunks):
    """attended *= activation(gates), of some rows."""
    n, activation = n_rows(stage, step), get_i64(stage + GATES.activation)
    for row in range(share(chunk, n_chunks, n), share(chunk + 1, n_chunks, n)):
        gates = get_i64(stage + GATES.gates) + row * get_i64(stage + GATES.gates_stride)
        y = get_i64(stage + GATES.y) + row * get_i64(stage + GATES.y_stride)
        n_features, dim = get_i64(stage + GATES.n_features), get_i64(stage + GATES.gate_dim)
        if dim == 1:
            for at in range(0, 4 * n_features, 64):
                store(y + at, mul(load(y + at), _activated(load(gates + at), activation)))
        else:
            for i in range(n_features // dim):
                _multiply(y + 4 * i * dim, dim, gates + 4 * i, activation)
        for at in range(n_features, (n_features + _BLOCK - 1) // _BLOCK * _BLOCK):
            put_f32(y + 4 * at, np.float32(0))  # where a layer with more heads wrote


@device
def _activated(x, activation):
    if activation == SIGMOID:
        return sigmoid(x)
    return softplus(x)


@device
def _multiply(y, dim, gate, activation):
    """A head's features by its gate."""
    factor = _activated(splat(get_f32(gate)), activation)
    n = dim // 16 * 16
    for at in range(0, 4 * n, 64):
        store(y + at, mul(load(y + at), factor))
    one = first_lane(factor)
    for i in range(n, dim):
        put_f32(y + 4 * i, get_f32(y + 4 * i) * one)
