"""Positions that a model has learned a row of features for, which joins its tokens' embeddings."""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import kernel
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.record import POSITIONS, STEP
from halfbyte.kernels.stages.rows import n_rows
from halfbyte.kernels.vectors.calls import call
from halfbyte.kernels.vectors.scalars import get_i64
from halfbyte.kernels.vectors.simd import add, load, store


@kernel
def add_positions(stage, step, chunk, n_chunks):
    """y += positions[position], of some rows."""
    n, own = n_rows(stage, step), get_i64(step + STEP.own_normed)
    n_vectors = (get_i64(stage + POSITIONS.dim) + 31) // 32 * 2
    for row in range(share(chunk, n_chunks, n), share(chunk + 1, n_chunks, n)):
        y = get_i64(stage + POSITIONS.y) + row * get_i64(stage + POSITIONS.y_stride)
        call(get_i64(stage + POSITIONS.lookup), get_i64(stage + POSITIONS.w),
             get_i64(stage + POSITIONS.n_panels), get_i64(stage + POSITIONS.n_units),
             get_i64(get_i64(step + STEP.positions) + 8 * row), own)  # fmt: skip
        for i in range(n_vectors):
            store(y + 64 * i, add(load(y + 64 * i), load(own + 64 * i)))
