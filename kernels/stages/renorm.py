"""Norms between stages: of what a branch gives before it joins the rows, or of rows in place."""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.layouts.activations import rms_norm_row
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.record import RENORMED
from halfbyte.kernels.stages.rows import n_rows
from halfbyte.kernels.vectors.scalars import get_f32, get_i64
from halfbyte.kernels.vectors.simd import add, load, mul, splat, store


@kernel
def renorm(stage, step, chunk, n_chunks):
    """y = RMSNorm(x) * weight, which may be where x is, or y += the same; then y *= scale."""
    n = n_rows(stage, step)
    for row in range(share(chunk, n_chunks, n), share(chunk + 1, n_chunks, n)):
        _renorm(stage, get_i64(stage + RENORMED.x) + row * get_i64(stage + RENORMED.x_stride),
                get_i64(stage + RENORMED.y) + row * get_i64(stage + RENORMED.y_stride))  # fmt: skip


@device
def _renorm(stage, x, y):
    """A row."""
    weight, dim = get_i64(stage + RENORMED.weight), get_i64(stage + RENORMED.dim)
    eps, n_vectors = get_f32(stage + RENORMED.eps), (dim + 31) // 32 * 2
    if get_i64(stage + RENORMED.adds) == 0:
        rms_norm_row(x, weight, dim, eps, y)
    else:
        rms_norm_row(x, weight, dim, eps, x)
        for i in range(n_vectors):
            store(y + 64 * i, add(load(y + 64 * i), load(x + 64 * i)))
    if get_i64(stage + RENORMED.scale) != 0:
        scale = splat(get_f32(get_i64(stage + RENORMED.scale)))
        for i in range(n_vectors):
            store(y + 64 * i, mul(load(y + 64 * i), scale))
