"""The feed-forward networks of experts, each for the rows that were sorted to it (routing.py).

An expert's matrices are multiplied once by all of its rows, whose inputs lie beside each other; of
experts that have no rows nothing is read. The first half (`hidden`) is dealt by what the strips of
all experts cost, so that a large expert keeps no thread waiting. In the second half (`output`) a
chunk is some strips of the result, through all experts in ascending order: a row's sum has that
order in any company, and no two threads write the same numbers.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.layouts.activations import put_block
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.products import STRIP_NBYTES, multiply
from halfbyte.kernels.stages.record import (
    ACTIVE,
    ACTIVE_NBYTES,
    EXPERTS,
    GATED,
    MATRIX_NBYTES,
    PLAN,
    STEP,
)
from halfbyte.kernels.stages.rows import floats_of, is_own, n_rows, records_of
from halfbyte.kernels.vectors.scalars import get_f32, get_i64
from halfbyte.kernels.vectors.simd import (
    add,
    div,
    first_lane,
    fma,
    load,
    maximum,
    minimum,
    mul,
    splat,
    store,
    sub,
)
from halfbyte.kernels.vectors.vector_math import exp, gelu_tanh, relu_squared, silu

# SiLU(gate) up; or gpt-oss's, clamped: gate sigmoid(1.702 gate) (up + 1); or max(up, 0)^2: there is
# no gate then, and up's matrices stand in its place; or GELU(gate) up.
ACTIVATIONS = SWIGLU, SWIGLU_OAI, SQUARED, GEGLU = 0, 1, 2, 3
_ALPHA = np.float32(1.702)
_WEIGHTS_COST = 4  # rows whose arithmetic takes about as long as to read a strip and unpack it
_N_WORK_ROWS = 512  # of a strip, that a thread's own memory has room for


@kernel
def hidden(stage, step, chunk, n_chunks):
    """Each expert's gate and up, and what becomes of both."""
    plan, n_strips = get_i64(stage + EXPERTS.plan), get_i64(stage + EXPERTS.n_strips)
    active, n_active = get_i64(plan + PLAN.active), get_i64(plan + PLAN.n_active)
    total = 0
    for a in range(n_active):
        total += _cost(active + a * ACTIVE_NBYTES) * n_strips
    begin, end, at = share(chunk, n_chunks, total), share(chunk + 1, n_chunks, total), 0
    for a in range(n_active):
        cost = _cost(active + a * ACTIVE_NBYTES)
        first = min(max((begin - at + cost - 1) // cost, 0), n_strips)
        last = min(max((end - at + cost - 1) // cost, 0), n_strips)
        at_once = max(_N_WORK_ROWS // 2 // get_i64(active + a * ACTIVE_NBYTES + ACTIVE.n), 1)
        for strip in range(first, last, at_once):
            _hidden_strips(stage, step, active + a * ACTIVE_NBYTES, strip,
                           min(strip + at_once, last))  # fmt: skip
        at += cost * n_strips


@device
def _cost(active):
    """Of a strip of an expert."""
    return get_i64(active + ACTIVE.n) + _WEIGHTS_COST


@device
def _hidden_strips(stage, step, active, first, last):
    """Some strips of 32 features of all rows of an expert: gate's in a row, then up's."""
    expert, begin, n = (get_i64(active + ACTIVE.expert), get_i64(active + ACTIVE.begin),
                        get_i64(active + ACTIVE.n))  # fmt: skip
    stride = get_i64(stage + EXPERTS.floats_stride)
    records, floats = records_of(stage, step), floats_of(stage, step)
    nbytes = get_i64(step + STEP.record_nbytes)
    if not is_own(stage, step):
        n_blocks = get_i64(stage + EXPERTS.n_blocks)
        records = get_i64(stage + EXPERTS.gathered) + begin * n_blocks * nbytes
        floats = get_i64(stage + EXPERTS.gathered_floats) + begin * stride
    n_experts = get_i64(stage + EXPERTS.n_experts)
    matrix = get_i64(stage + EXPERTS.matrices) + expert * MATRIX_NBYTES
    gate, width = get_i64(step + STEP.work), (last - first) * STRIP_NBYTES
    up = gate + n * width
    multiply(matrix, first, last, records, floats, stride, n,
             gate - first * STRIP_NBYTES, width, 0)  # fmt: skip
    if get_i64(stage + EXPERTS.activation) != SQUARED:
        multiply(matrix + n_experts * MATRIX_NBYTES, first, last, records, floats, stride, n,
                 up - first * STRIP_NBYTES, width, 0)  # fmt: skip
    for strip in range(first, last):
        at = (strip - first) * STRIP_NBYTES
        _activate(stage, gate + at, up + at, width, expert, begin, n, strip, nbytes)


@device
def _activate(stage, gate, up, width, expert, begin, n, strip, nbytes):
    """hidden = f(gate, up) of n rows, `width` bytes apart, as the expert's last matrix takes it.

    Records are `nbytes` long.
    """
    n_strips, to = get_i64(stage + EXPERTS.n_strips), get_i64(stage + EXPERTS.hidden)
    hidden_stride = get_i64(stage + EXPERTS.hidden_stride)
    bias_at = (expert * n_strips + strip) * STRIP_NBYTES
    for row in range(n):
        at = row * width
        h0 = _activated(stage, gate + at, up + at, bias_at)
        h1 = _activated(stage, gate + at + 64, up + at + 64, bias_at + 64)
        if hidden_stride == 0:
            block = begin * n_strips + strip * n + row
            put_block(h0, h1, to + block * nbytes, nbytes)
        else:
            out = to + (begin + row) * hidden_stride + strip * STRIP_NBYTES
            store(out, h0)
            store(out + 64, h1)


@device
def _activated(stage, gate, up, bias_at):
    """16 features of a row."""
    if get_i64(stage + EXPERTS.activation) == SQUARED:
        return relu_squared(load(gate))
    g, u = load(gate), load(up)
    if get_i64(stage + EXPERTS.gate_bias) != 0:
        g = add(g, load(get_i64(stage + EXPERTS.gate_bias) + bias_at))
        u = add(u, load(get_i64(stage + EXPERTS.up_bias) + bias_at))
    if get_i64(stage + EXPERTS.activation) == SWIGLU:
        return mul(silu(g), u)
    if get_i64(stage + EXPERTS.activation) == GEGLU:
        return mul(gelu_tanh(g), u)
    limit, one = splat(get_f32(stage + EXPERTS.limit)), splat(np.float32(1))
    # NaN stays: it is what comes second.
    g = minimum(limit, g)
    u = minimum(limit, maximum(sub(splat(np.float32(0)), limit), u))
    e = exp(mul(g, splat(-_ALPHA)))
    return mul(div(g, add(one, e)), add(u, one))


@kernel
def output(stage, step, chunk, n_chunks):
    """y += weight (down hidden + bias) of each row and each of its experts."""
    plan, n_strips = get_i64(stage + EXPERTS.plan), get_i64(stage + EXPERTS.n_strips)
    active, n_active = get_i64(plan + PLAN.active), get_i64(plan + PLAN.n_active)
    begin, end = share(chunk, n_chunks, n_strips), share(chunk + 1, n_chunks, n_strips)
    if get_i64(stage + EXPERTS.fresh) != 0:
        _clear(stage, step, begin, end)
    for a in range(n_active):
        at = active + a * ACTIVE_NBYTES
        at_once = max(_N_WORK_ROWS // get_i64(at + ACTIVE.n), 1)
        for first in range(begin, end, at_once):
            _output_strips(stage, step, plan, at, first, min(first + at_once, end))


@device
def _clear(stage, step, first, last):
    """y = 0, some strips of all rows."""
    y, stride = get_i64(stage + EXPERTS.y), get_i64(stage + EXPERTS.y_stride)
    for row in range(n_rows(stage, step)):
        for at in range(first * STRIP_NBYTES, last * STRIP_NBYTES, 64):
            store(y + row * stride + at, splat(np.float32(0)))


@device
def _output_strips(stage, step, plan, active, first, last):
    """Some strips of all rows of an expert."""
    expert, begin, n = (get_i64(active + ACTIVE.expert), get_i64(active + ACTIVE.begin),
                        get_i64(active + ACTIVE.n))  # fmt: skip
    n_blocks, n_strips = get_i64(stage + EXPERTS.n_blocks), get_i64(stage + EXPERTS.n_strips)
    floats_stride, x = get_i64(stage + EXPERTS.floats_stride), get_i64(stage + EXPERTS.hidden)
    y, y_stride = get_i64(stage + EXPERTS.y), get_i64(stage + EXPERTS.y_stride)
    work, width = get_i64(step + STEP.work), (last - first) * STRIP_NBYTES
    multiply(get_i64(stage + EXPERTS.matrices) + expert * MATRIX_NBYTES, first, last,
             x + begin * n_blocks * get_i64(step + STEP.record_nbytes),
             x + begin * floats_stride, floats_stride, n,
             work - first * STRIP_NBYTES, width, 0)  # fmt: skip
    bias = get_i64(stage + EXPERTS.up_bias)
    bias_at = bias + (expert * n_strips + first) * STRIP_NBYTES
    rows = get_i64(plan + PLAN.rows) + 8 * begin
    weights = get_i64(plan + PLAN.row_weights) + 4 * begin
    for row in range(n):
        weight = splat(get_f32(weights + 4 * row))
        to = y + get_i64(rows + 8 * row) * y_stride + first * STRIP_NBYTES
        for at in range(0, width, 64):
            value = load(work + row * width + at)
            if bias != 0:
                value = add(value, load(bias_at + at))
            store(to + at, fma(weight, value, load(to + at)))


@kernel
def add_gated(stage, step, chunk, n_chunks):
    """y += sigmoid(gate) source, of some rows."""
    n = n_rows(stage, step)
    for row in range(share(chunk, n_chunks, n), share(chunk + 1, n_chunks, n)):
        gate = get_f32(get_i64(stage + GATED.gate) + row * get_i64(stage + GATED.gate_stride))
        one = splat(np.float32(1))
        weight = splat(first_lane(div(one, add(one, exp(splat(-gate))))))
        source = get_i64(stage + GATED.source) + row * get_i64(stage + GATED.source_stride)
        to = get_i64(stage + GATED.y) + row * get_i64(stage + GATED.y_stride)
        for at in range(0, 4 * get_i64(stage + GATED.n), 64):
            store(to + at, fma(weight, load(source + at), load(to + at)))
