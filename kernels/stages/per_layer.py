"""Embeddings that each layer has of its own: rows of a table join what is made of the tokens'.

Each layer's features of a row are normed by themselves. What a layer adds to the residual stream is
gated by its features. Source: transformers' modeling_gemma4.py.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.layouts.activations import rms_norm_row
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.record import JOINED
from halfbyte.kernels.stages.rows import n_rows
from halfbyte.kernels.vectors.scalars import get_f32, get_i64
from halfbyte.kernels.vectors.simd import fma, load, mul, splat, store
from halfbyte.kernels.vectors.vector_math import gelu_tanh

_HALF_ROOT = np.float32(2.0**-0.5)


@device
def _row(stage, row):
    """Addresses of x and y of a row."""
    x = get_i64(stage + JOINED.x) + row * get_i64(stage + JOINED.x_stride)
    return x, get_i64(stage + JOINED.y) + row * get_i64(stage + JOINED.y_stride)


@kernel
def join_rows(stage, step, chunk, n_chunks):
    """y = (RMSNorm(y) weight + scale x) / sqrt(2), of some rows, layer by layer."""
    n, dim, total = get_i64(stage + JOINED.n), get_i64(stage + JOINED.dim), n_rows(stage, step)
    weight, eps = get_i64(stage + JOINED.weight), get_f32(stage + JOINED.eps)
    factor, half = splat(get_f32(stage + JOINED.scale)), splat(_HALF_ROOT)
    for row in range(share(chunk, n_chunks, total), share(chunk + 1, n_chunks, total)):
        x, y = _row(stage, row)
        for layer in range(n):
            at = 4 * layer * dim
            rms_norm_row(y + at, weight, dim, eps, y + at)
            for i in range(at, at + 4 * dim, 64):
                store(y + i, mul(fma(factor, load(x + i), load(y + i)), half))


@kernel
def gate_rows(stage, step, chunk, n_chunks):
    """y = gelu(y) x, of some rows."""
    dim, total = get_i64(stage + JOINED.dim), n_rows(stage, step)
    for row in range(share(chunk, n_chunks, total), share(chunk + 1, n_chunks, total)):
        x, y = _row(stage, row)
        for i in range(0, 4 * dim, 64):
            store(y + i, mul(gelu_tanh(load(y + i)), load(x + i)))
