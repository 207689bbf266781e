"""Mamba-2: a layer whose past is a matrix for each head, token by token.

A row of the projection is [z, x, B, C, dt]. Of x, B and C a causal convolution of each channel is
taken, with a bias, and its SiLU (mamba2_inputs.py); then for each head, with the B and C that its
group shares,

    dt = clamp(softplus(dt + bias))
    h = exp(dt A) h + B (dt x)^T            (n_state, head_dim), h the state
    y = (C h + D x) * SiLU(z)

and what heads gave goes through RMSNorm in groups (group_norms.py). In a block a layer has the last
inputs of the convolution, the oldest first, and behind them h of each head, whose rows are padded
to 16 floats.

A lane is a feature of a head, and no sum crosses lanes: that over n_state runs upwards. Tokens come
one after the other, whatever they came with, so that a state is the same for any chunks, and for a
replay. Source: Mamba-2, arXiv:2405.21060; transformers' and llama.cpp's code.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.stages.mamba2_inputs import (
    TOKENS,
    clear,
    conv_nbytes,
    copy,
    keep_inputs,
    n_certain,
    prepare,
    taken,
    up,
    work,
    write_journal,
    zeros,
)
from halfbyte.kernels.stages.record import MAMBA2, SPAN, SPAN_NBYTES, STEP
from halfbyte.kernels.vectors.scalars import get_f32, get_i64
from halfbyte.kernels.vectors.simd import fma, keep_first, load, mul, splat, store
from halfbyte.kernels.vectors.vector_math import silu


@kernel
def scan(stage, step, chunk, n_chunks):
    """Some heads of a sequence through all of its rows."""
    per_span, n_part = get_i64(stage + MAMBA2.per_span), get_i64(stage + MAMBA2.n_part)
    span = get_i64(step + STEP.spans) + chunk // per_span * SPAN_NBYTES
    first_head = chunk % per_span * n_part
    n = get_i64(span + SPAN.n_kept) + get_i64(span + SPAN.n_rows)
    if get_i64(span + SPAN.state) == 0:
        clear(zeros(stage, step), conv_nbytes(stage))
    if n_certain(span) == 0:
        for i in range(n_part):
            _pass_on(stage, span, first_head + i)
    for first in range(0, n, TOKENS):
        some = min(TOKENS, n - first)
        for i in range(some):
            prepare(stage, step, span, first_head, first + i, work(stage, step, i))
        for i in range(n_part):
            for t in range(some):
                _advance(stage, step, span, first_head, i, first + t, work(stage, step, t))
    keep_inputs(stage, step, span, first_head)
    write_journal(stage, step, span, first_head)


@device
def _head_nbytes(stage):
    """Bytes of a head's state."""
    return 4 * get_i64(stage + MAMBA2.n_state) * up(get_i64(stage + MAMBA2.head_dim))


@device
def _state_of(stage, block, head):
    """Where a head's state lies in a block."""
    before = (get_i64(stage + MAMBA2.n_taps) - 1) * conv_nbytes(stage)
    return block + get_i64(stage + MAMBA2.state_at) + before + head * _head_nbytes(stage)


@device
def _pass_on(stage, span, head):
    """A head's state as it was."""
    to, block = _state_of(stage, get_i64(span + SPAN.next), head), get_i64(span + SPAN.state)
    if block == 0:
        clear(to, _head_nbytes(stage))
    else:
        copy(_state_of(stage, block, head), to, _head_nbytes(stage) // 4)


@device
def _advance(stage, step, span, first_head, i, t, own):
    """A chunk's head i through token t: its state, and what it gives if that is asked for."""
    n_state, head_dim = get_i64(stage + MAMBA2.n_state), get_i64(stage + MAMBA2.head_dim)
    head, n_kept = first_head + i, get_i64(span + SPAN.n_kept)
    to = _state_of(stage, get_i64(span + SPAN.next), head)
    source = to
    if t >= n_certain(span):  # a guess
        to = zeros(stage, step) + conv_nbytes(stage) + i * _head_nbytes(stage)
        source = source if t == n_certain(span) else to
    elif t == 0 and get_i64(span + SPAN.state) == 0:
        clear(to, _head_nbytes(stage))
    elif t == 0:
        source = _state_of(stage, get_i64(span + SPAN.state), head)
    x, b, c, dt = taken(stage, first_head, i, own)
    row, at = get_i64(span + SPAN.row) + t - n_kept, 4 * head * head_dim
    z = get_i64(stage + MAMBA2.x) + row * get_i64(stage + MAMBA2.x_stride) + at
    y = get_i64(stage + MAMBA2.y) + row * get_i64(stage + MAMBA2.y_stride) + at
    d = get_f32(get_i64(stage + MAMBA2.d) + 4 * head)
    p, stride, gives = 0, 4 * up(head_dim), t >= n_kept
    while p + 64 <= head_dim:
        _four(source + 4 * p, to + 4 * p, stride, n_state, b, c, dt, x + 4 * p, d,
              z + 4 * p, y + 4 * p, gives)  # fmt: skip
        p += 64
    while p < head_dim:
        total = _one(source + 4 * p, to + 4 * p, stride, n_state, b, c, dt, x + 4 * p, head_dim - p)
        if gives:
            rest = work(stage, step, TOKENS)
            store(rest, _gated(total, d, x + 4 * p, z + 4 * p))
            copy(rest, y + 4 * p, min(head_dim - p, 16))
        p += 16


@device
def _four(source, to, stride, n_state, b, c, dt, x, d, z, y, gives):
    """64 features of a head."""
    step, decay = splat(get_f32(dt)), splat(get_f32(dt + 64))
    u0, u1 = mul(step, load(x)), mul(step, load(x + 64))
    u2, u3 = mul(step, load(x + 128)), mul(step, load(x + 192))
    y0 = y1 = y2 = y3 = splat(np.float32(0))
    for i in range(n_state):
        at, bn, cn = i * stride, splat(get_f32(b + 4 * i)), splat(get_f32(c + 4 * i))
        h = fma(bn, u0, mul(decay, load(source + at)))
        store(to + at, h)
        y0 = fma(cn, h, y0)
        h = fma(bn, u1, mul(decay, load(source + at + 64)))
        store(to + at + 64, h)
        y1 = fma(cn, h, y1)
        h = fma(bn, u2, mul(decay, load(source + at + 128)))
        store(to + at + 128, h)
        y2 = fma(cn, h, y2)
        h = fma(bn, u3, mul(decay, load(source + at + 192)))
        store(to + at + 192, h)
        y3 = fma(cn, h, y3)
    if gives:
        store(y, _gated(y0, d, x, z))
        store(y + 64, _gated(y1, d, x + 64, z + 64))
        store(y + 128, _gated(y2, d, x + 128, z + 128))
        store(y + 192, _gated(y3, d, x + 192, z + 192))


@device
def _one(source, to, stride, n_state, b, c, dt, x, n):
    """C h of at most 16 features, n; those behind them stay 0."""
    decay, zero = splat(get_f32(dt + 64)), splat(np.float32(0))
    u, total = keep_first(mul(splat(get_f32(dt)), load(x)), n, zero), zero
    for i in range(n_state):
        h = fma(splat(get_f32(b + 4 * i)), u, mul(decay, load(source + i * stride)))
        store(to + i * stride, h)
        total = fma(splat(get_f32(c + 4 * i)), h, total)
    return total


@device
def _gated(y, d, x, z):
    """(y + D x) * SiLU(z)."""
    return mul(fma(splat(d), load(x), y), silu(load(z)))
