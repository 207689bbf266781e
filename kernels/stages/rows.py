"""Stages that work row by row: embedding, norms, and records."""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.activations import put_row, rms_norm_row
from halfbyte.kernels.stages.record import EMBEDDING, INPUT, NORMED, QUANTIZED, STEP
from halfbyte.kernels.vectors.calls import call
from halfbyte.kernels.vectors.scalars import get_f32, get_i64
from halfbyte.kernels.vectors.simd import load, mul, splat, store


@device
def n_rows(stage, step):
    """Rows of a stage: all tokens, or those whose logits are wanted."""
    if get_i64(stage + INPUT.of_logits) != 0:
        return get_i64(step + STEP.n_out)
    return get_i64(step + STEP.n_tokens)


@device(keeps_constants=False)
def _input_row(stage, step, i):
    """Address of a row of x."""
    row = i
    if get_i64(stage + INPUT.of_logits) != 0:
        row = get_i64(get_i64(step + STEP.out_rows) + 8 * i)
    return get_i64(stage + INPUT.x) + row * get_i64(stage + INPUT.x_stride)


@device
def embed(stage, step, row):
    """x = scale token_embd[token]."""
    token = get_i64(get_i64(step + STEP.tokens) + 8 * row)
    y = get_i64(stage + EMBEDDING.y) + row * get_i64(stage + EMBEDDING.y_stride)
    call(get_i64(stage + EMBEDDING.lookup), get_i64(stage + EMBEDDING.w),
         get_i64(stage + EMBEDDING.n_panels), get_i64(stage + EMBEDDING.n_units),
         token, y)  # fmt: skip
    if get_i64(stage + EMBEDDING.scale) != 0:
        scale = splat(get_f32(stage + EMBEDDING.scale))
        for i in range((get_i64(stage + EMBEDDING.dim) + 31) // 32 * 2):
            store(y + 64 * i, mul(load(y + 64 * i), scale))


@device
def norm(stage, step, row):
    """normed = RMSNorm(x) * weight, and its records."""
    nbytes = get_i64(step + STEP.record_nbytes)
    _norm(stage, _input_row(stage, step, row),
          get_i64(stage + INPUT.floats) + row * get_i64(stage + INPUT.floats_stride),
          get_i64(stage + INPUT.records) + row * nbytes, n_rows(stage, step) * nbytes,
          nbytes)  # fmt: skip


@device
def quantize(stage, step, row):
    """The records of x."""
    nbytes = get_i64(step + STEP.record_nbytes)
    put_row(_input_row(stage, step, row), get_i64(stage + INPUT.n_blocks),
            get_i64(stage + INPUT.records) + row * nbytes, n_rows(stage, step) * nbytes,
            nbytes)  # fmt: skip


@device
def is_own(stage, step):
    """Whether a stage's input is a single row, which each thread makes for itself."""
    return n_rows(stage, step) == 1 and get_i64(stage + INPUT.prepare) != 0


@device
def floats_of(stage, step):
    """Where the floats of a stage's input begin."""
    if is_own(stage, step) and get_i64(stage + INPUT.prepare) == NORMED:
        return get_i64(step + STEP.own_normed)
    return get_i64(stage + INPUT.floats)


@device
def records_of(stage, step):
    """Where the records of a stage's input begin."""
    if is_own(stage, step):
        return get_i64(step + STEP.own_records)
    return get_i64(stage + INPUT.records)


@device
def prepare(stage, step):
    """Make a single row's input in this thread's own buffers."""
    if not is_own(stage, step):
        return
    x, records = _input_row(stage, step, 0), get_i64(step + STEP.own_records)
    nbytes = get_i64(step + STEP.record_nbytes)
    if get_i64(stage + INPUT.prepare) == NORMED:
        _norm(stage, x, get_i64(step + STEP.own_normed), records, nbytes, nbytes)
    elif get_i64(stage + INPUT.prepare) == QUANTIZED:
        put_row(x, get_i64(stage + INPUT.n_blocks), records, nbytes, nbytes)


@device
def prepare_floats(stage, step):
    """Make a single row's floats alone."""
    if is_own(stage, step) and get_i64(stage + INPUT.prepare) == NORMED:
        _norm_floats(stage, _input_row(stage, step, 0), get_i64(step + STEP.own_normed))


@device
def _norm_floats(stage, x, normed):
    if get_i64(stage + INPUT.layer_norm) == 0:
        rms_norm_row(x, get_i64(stage + INPUT.weight), get_i64(stage + INPUT.dim),
                     get_f32(stage + INPUT.eps), normed)  # fmt: skip
    else:
        call(get_i64(stage + INPUT.layer_norm), stage, x, normed)


@device
def _norm(stage, x, normed, records, stride, nbytes):
    _norm_floats(stage, x, normed)
    put_row(normed, get_i64(stage + INPUT.n_blocks), records, stride, nbytes)
