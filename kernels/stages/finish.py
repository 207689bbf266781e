"""Projections of whose products something becomes: a bias is added, they are scaled, or capped."""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.stages.products import STRIP_NBYTES, add_bias, expand, multiply
from halfbyte.kernels.stages.record import INPUT, MATRIX_NBYTES, PRODUCT, STEP
from halfbyte.kernels.stages.rows import floats_of, n_rows, records_of
from halfbyte.kernels.vectors.scalars import get_f32, get_i64
from halfbyte.kernels.vectors.simd import add, load, mul, splat, store
from halfbyte.kernels.vectors.vector_math import soft_cap


@kernel
def project_and_finish(stage, step, i, begin, end, y, y_stride, adds):
    """Strips of y = cap(scale (W x + bias)), or of y += the same, of one of the matrices."""
    n, matrix = n_rows(stage, step), get_i64(stage + PRODUCT.matrices) + i * MATRIX_NBYTES
    floats, records = floats_of(stage, step), records_of(stage, step)
    for strip in range(begin, end):
        to, stride = y, y_stride
        if adds != 0:  # where the strip lies alone
            to, stride = get_i64(step + STEP.work) - strip * STRIP_NBYTES, STRIP_NBYTES
        multiply(matrix, strip, strip + 1, records, floats, get_i64(stage + INPUT.floats_stride),
                 n, to, stride, 0)  # fmt: skip
        expand(stage, step, i, strip, strip + 1, to, stride)
        for row in range(n):
            _finish(stage, i, strip, to + row * stride + strip * STRIP_NBYTES)
            if adds != 0:
                _add(to + row * stride + strip * STRIP_NBYTES,
                     y + row * y_stride + strip * STRIP_NBYTES)  # fmt: skip


@device
def _finish(stage, i, strip, at):
    """A row's strip of W x at `at` becomes cap(scale (W x + bias)), of matrix i."""
    scale, cap = get_f32(stage + PRODUCT.scale), get_f32(stage + PRODUCT.cap)
    add_bias(stage, i, strip, at)
    for half in range(0, STRIP_NBYTES, 64):
        v = mul(load(at + half), splat(scale))
        if cap != 0:
            v = soft_cap(v, cap)
        store(at + half, v)


@device
def _add(strip, to):
    """A row's strip joins what lies there."""
    for half in range(0, STRIP_NBYTES, 64):
        store(to + half, add(load(to + half), load(strip + half)))
