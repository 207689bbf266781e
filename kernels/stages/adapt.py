"""Adapters: what rows of a step go through beside the matrices, which no other row notices.

An adapter has two thin matrices for a matrix of the model (products/low_rank.py). The inner
products of all rows with the first are a stage before that of the matrix (`shrink`); the second
meets them where the matrix's own product has just been written (`expand`). Programs for models
alone have none of these stages, and products that know of no adapters.

How many chunks there are follows from the step's own words, never from tables that change: a thread
that comes late must count as all others did.
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.pool import share
from halfbyte.kernels.products.low_rank import GROUP
from halfbyte.kernels.stages.record import (
    APPLIED,
    FACTORS,
    FACTORS_NBYTES,
    INPUT,
    PRODUCT,
    STEP,
)
from halfbyte.kernels.stages.rows import floats_of, n_rows, records_of
from halfbyte.kernels.vectors.calls import call
from halfbyte.kernels.vectors.scalars import get_i64

_APPLIED_NBYTES = 8 * len(APPLIED)
_PARTS = 8  # into which the ranks of a row are dealt


@device
def n_shrink_chunks(stage, step):
    """A chunk is a part of the ranks of some adapted rows."""
    n = get_i64(step + STEP.n_adapted)
    if get_i64(stage + INPUT.of_logits) != 0:
        n = get_i64(step + STEP.n_adapted_out)
    return min(n * _PARTS, get_i64(step + STEP.max_chunks))


@kernel
def shrink(stage, step, chunk, n_chunks):
    """inner = A x of all matrices of a stage: adapter after adapter, part after part, all rows."""
    n_items = get_i64(step + STEP.n_adapted) * _PARTS
    if get_i64(stage + INPUT.of_logits) != 0:
        n_items = get_i64(step + STEP.n_adapted_out) * _PARTS
    begin, end = share(chunk, n_chunks, n_items), share(chunk + 1, n_chunks, n_items)
    applied, at = get_i64(step + STEP.applied), 0
    for _ in range(get_i64(step + STEP.n_applied)):
        n = _n_applied_rows(stage, applied)
        for part in range(_PARTS):
            first, last = max(begin - at, 0), min(end - at, n)
            if first < last:
                _shrink(stage, step, applied, part, first, last)
            at += n
        applied += _APPLIED_NBYTES


@device
def _shrink(stage, step, applied, part, first, last):
    """A part of the groups of ranks, of rows first .. last of those of an adapter."""
    factors = get_i64(applied + APPLIED.table) + get_i64(stage + PRODUCT.factors_at)
    n_matrices = get_i64(stage + PRODUCT.n_matrices)
    final = factors + (n_matrices - 1) * FACTORS_NBYTES
    n_groups = get_i64(final + FACTORS.group_at) + get_i64(final + FACTORS.n_groups)
    begin, end = share(part, _PARTS, n_groups), share(part + 1, _PARTS, n_groups)
    stride = get_i64(applied + APPLIED.inner_stride)
    inner = get_i64(applied + APPLIED.inner) + first * stride
    x, x_stride, block_stride = _rows(stage, step, _first_row(stage, applied) + first)
    for _ in range(n_matrices):
        at = get_i64(factors + FACTORS.group_at)
        group, group_end = max(begin - at, 0), min(end - at, get_i64(factors + FACTORS.n_groups))
        if group < group_end:
            call(get_i64(factors + FACTORS.shrink), get_i64(factors + FACTORS.a),
                 get_i64(factors + FACTORS.n_blocks), group, group_end, x, x_stride, last - first,
                 block_stride, inner + 4 * GROUP * at, stride)  # fmt: skip
        factors += FACTORS_NBYTES


@device
def _rows(stage, step, row):
    """Address of a row of the input, bytes between rows, and between its records (0: floats)."""
    if get_i64(stage + PRODUCT.from_records) != 0:
        nbytes = get_i64(step + STEP.record_nbytes)
        stride = n_rows(stage, step) * nbytes
        return records_of(stage, step) + row * nbytes, nbytes, stride
    stride = get_i64(stage + INPUT.floats_stride)
    return floats_of(stage, step) + row * stride, stride, 0


@kernel
def expand(stage, step, matrix, begin, end, y, y_stride):
    """y += scale B inner, in strips begin .. end of one of the stage's matrices."""
    factors_at = get_i64(stage + PRODUCT.factors_at)
    applied = get_i64(step + STEP.applied)
    for _ in range(get_i64(step + STEP.n_applied)):
        n, factors = _n_applied_rows(stage, applied), get_i64(applied + APPLIED.table)
        factors += factors_at + matrix * FACTORS_NBYTES
        if n > 0 and get_i64(factors + FACTORS.n_groups) > 0:
            inner = get_i64(applied + APPLIED.inner)
            call(get_i64(factors + FACTORS.expand), get_i64(factors + FACTORS.b),
                 get_i64(factors + FACTORS.rank), begin, end,
                 inner + 4 * GROUP * get_i64(factors + FACTORS.group_at),
                 get_i64(applied + APPLIED.inner_stride), n,
                 y + _first_row(stage, applied) * y_stride, y_stride,
                 factors + FACTORS.scale, applied + APPLIED.scale)  # fmt: skip
        applied += _APPLIED_NBYTES


@device
def _first_row(stage, applied):
    if get_i64(stage + INPUT.of_logits) != 0:
        return get_i64(applied + APPLIED.out_row)
    return get_i64(applied + APPLIED.row)


@device
def _n_applied_rows(stage, applied):
    if get_i64(stage + INPUT.of_logits) != 0:
        return get_i64(applied + APPLIED.n_out)
    return get_i64(applied + APPLIED.n_rows)
