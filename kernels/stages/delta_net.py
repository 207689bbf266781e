"""Gated delta nets: a layer's memory is a matrix for each head, which every token changes a little.

Of a row there are queries and keys of the key heads, values of the value heads, which share key
heads, a gate z for each value, and two numbers b, a for each value head. Queries, keys and values
go through a causal convolution of their own past, channel by channel, and SiLU; a head's queries
and keys are then scaled to length 1. With decay g and rate beta, a value head's state S,
(key_dim, value_dim), becomes

    g = e ** (A softplus(a + dt))    S' = g S + k delta^T
    beta = sigmoid(b)                delta = beta (v - g S^T k)
    o = S'^T q / sqrt(key_dim)       y = RMSNorm(o) SiLU(z)

token by token in prompts too. Lanes are columns of S: no sum crosses them, and a column's sums go
over rows in their order. While S' is made the sums S'^T k of the next token are taken along, so S
is read and written once a token, 32 columns at a time, which stay in the nearest cache for all
tokens that were convolved together. Nothing depends on how these are cut.

A layer of a block of states is the last rows before the convolution, then S of each value head,
32 columns after the other. Source: arXiv:2412.06464.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.layouts.delta_states import TILE, TILE_NBYTES, TOKENS
from halfbyte.kernels.stages.delta_net_rows import (
    copy,
    gate_rows,
    made_rows,
    out_rows,
    own_states,
    put_row,
    raw_rows,
    row_nbytes,
    state_nbytes,
    take_row,
    value_head,
    values_nbytes,
)
from halfbyte.kernels.stages.record import DELTA_NET, SPAN, SPAN_NBYTES, STEP
from halfbyte.kernels.vectors.scalars import get_f32, get_i64, put_f32
from halfbyte.kernels.vectors.simd import (
    add,
    fma,
    load,
    mul,
    prefetch,
    splat,
    store,
    sub,
    sum_lanes,
)
from halfbyte.kernels.vectors.tiles import (
    add_outer,
    load_column,
    save_tile,
    stream_column,
    times,
    zeros,
)
from halfbyte.kernels.vectors.vector_math import exp, sigmoid, silu, softplus

_EPS = np.float32(1e-6)  # of the lengths of queries and keys, whatever the model's norms have


@kernel
def delta_net(stage, step, chunk, n_chunks):
    """All rows of a span, of one key head and the value heads that share it."""
    n_heads = get_i64(stage + DELTA_NET.n_key_heads)
    span, head = get_i64(step + STEP.spans) + chunk // n_heads * SPAN_NBYTES, chunk % n_heads
    n_rows, n_certain = get_i64(span + SPAN.n_rows), get_i64(span + SPAN.n_certain)
    work = get_i64(step + STEP.work)
    _begin(stage, span, head, work)
    source, target = _states(stage, span, head)
    if _do_kept(stage, span, head, work, source, target) != 0:
        source = target
    if _do_rows(stage, span, head, work, source, target, 0, n_certain) != 0:
        source = target
    _end(stage, span, head, work)
    if source != target:  # no row came before the guesses
        _copy(stage, head, source, target)
    _do_rows(stage, span, head, work, target, own_states(stage, work), n_certain, n_rows)


@device
def _do_kept(stage, span, head, work, source, target):
    """The rows of a journal once more; how many they are."""
    n, nbytes = get_i64(span + SPAN.n_kept), get_i64(stage + DELTA_NET.token_nbytes)
    x = get_i64(span + SPAN.kept) + get_i64(stage + DELTA_NET.kept_at)
    for first in range(0, n, TOKENS):
        some = min(n - first, TOKENS)
        _take_rows(stage, head, work, x + first * nbytes, nbytes, some, 0)
        _run(stage, head, work, source if first == 0 else target, target, some, 0, 0)
    return n


@device
def _do_rows(stage, span, head, work, source, target, begin, end):
    """Rows of the step, which join the journal if they are guesses; how many they are."""
    x_stride, y_stride = get_i64(stage + DELTA_NET.x_stride), get_i64(stage + DELTA_NET.y_stride)
    n_certain = get_i64(span + SPAN.n_certain)
    for first in range(begin, end, TOKENS):
        some, row = min(end - first, TOKENS), get_i64(span + SPAN.row) + first
        x, y = get_i64(stage + DELTA_NET.x), get_i64(stage + DELTA_NET.y)
        to = get_i64(span + SPAN.journal) + get_i64(stage + DELTA_NET.kept_at)
        to += (first - n_certain) * get_i64(stage + DELTA_NET.token_nbytes)
        journal = to if first >= n_certain else 0
        _take_rows(stage, head, work, x + row * x_stride, x_stride, some, journal)
        _run(stage, head, work, source if first == begin else target, target, some,
             x + row * x_stride, y + row * y_stride)  # fmt: skip
    return end - begin


# --- before and after ---------------------------------------------------------------------------


@device
def _conv_row_nbytes(stage):
    """Bytes of a row of all channels."""
    keys = get_i64(stage + DELTA_NET.key_dim)
    values = get_i64(stage + DELTA_NET.n_parts) * get_i64(stage + DELTA_NET.value_dim)
    return 4 * get_i64(stage + DELTA_NET.n_key_heads) * (2 * keys + values)


@device
def _begin(stage, span, head, work):
    """The convolution's weights, and the rows before the span's: zeros where there are none."""
    n, nbytes = get_i64(stage + DELTA_NET.n_taps), row_nbytes(stage)
    raw, state, zero = raw_rows(stage, work), get_i64(span + SPAN.state), splat(np.float32(0))
    for i in range(n):
        taps = get_i64(stage + DELTA_NET.taps) + i * get_i64(stage + DELTA_NET.taps_stride)
        take_row(stage, head, taps, work + i * nbytes)
    for i in range(n - 1):
        if state != 0:
            row = state + get_i64(stage + DELTA_NET.state_at) + i * _conv_row_nbytes(stage)
            take_row(stage, head, row, raw + i * nbytes)
        else:
            for at in range(0, nbytes, 64):
                store(raw + i * nbytes + at, zero)


@device
def _end(stage, span, head, work):
    """The last rows before the convolution, for the tokens to come."""
    to = get_i64(span + SPAN.next) + get_i64(stage + DELTA_NET.state_at)
    for i in range(get_i64(stage + DELTA_NET.n_taps) - 1):
        row = raw_rows(stage, work) + i * row_nbytes(stage)
        put_row(stage, head, row, to + i * _conv_row_nbytes(stage))


@device
def _states(stage, span, head):
    """Where states are read from first, and where they are made: from zeros if there are none."""
    rows = (get_i64(stage + DELTA_NET.n_taps) - 1) * _conv_row_nbytes(stage)
    at = get_i64(stage + DELTA_NET.state_at) + (rows + 63) // 64 * 64
    source, target = get_i64(span + SPAN.state), get_i64(span + SPAN.next) + at
    if source != 0:
        return source + at, target
    nbytes = state_nbytes(stage)
    for part in range(get_i64(stage + DELTA_NET.n_parts)):
        to = target + value_head(stage, head, part) * nbytes
        for i in range(0, nbytes, 64):
            store(to + i, splat(np.float32(0)))
    return target, target


@device
def _copy(stage, head, source, target):
    """The head's states as they are."""
    nbytes = state_nbytes(stage)
    for part in range(get_i64(stage + DELTA_NET.n_parts)):
        at = value_head(stage, head, part) * nbytes
        copy(source + at, nbytes // 4, target + at)


# --- tokens -------------------------------------------------------------------------------------


@device
def _take_rows(stage, head, work, x, stride, n, journal):
    """n rows before the convolution and their rates and decays; a copy of the rows, if wanted."""
    nbytes, gates = row_nbytes(stage), gate_rows(stage, work)
    raw = raw_rows(stage, work) + (get_i64(stage + DELTA_NET.n_taps) - 1) * nbytes
    for t in range(n):
        take_row(stage, head, x + t * stride, raw + t * nbytes)
        if journal != 0:
            to = journal + t * get_i64(stage + DELTA_NET.token_nbytes)
            put_row(stage, head, raw + t * nbytes, to)
    for part in range(get_i64(stage + DELTA_NET.n_parts)):
        at = head * get_i64(stage + DELTA_NET.gate_head_step)
        at += part * get_i64(stage + DELTA_NET.gate_part_step)
        b_at, a_at = at + get_i64(stage + DELTA_NET.b_at), at + get_i64(stage + DELTA_NET.a_at)
        own = gates + 128 * part
        for t in range(n):
            b, a = get_f32(x + t * stride + b_at), get_f32(x + t * stride + a_at)
            put_f32(own + 4 * t, b)
            put_f32(own + 64 + 4 * t, a)
            if journal != 0:
                to = journal + t * get_i64(stage + DELTA_NET.token_nbytes)
                put_f32(to + b_at, b)
                put_f32(to + a_at, a)
        j = 4 * value_head(stage, head, part)
        scale, dt = (get_f32(get_i64(stage + DELTA_NET.a) + j),
                     get_f32(get_i64(stage + DELTA_NET.dt) + j))  # fmt: skip
        store(own, sigmoid(load(own)))
        decay = softplus(add(load(own + 64), splat(dt)))
        store(own + 64, exp(mul(decay, splat(scale))))


@device
def _run(stage, head, work, source, target, n, x, y):
    """n tokens whose rows were taken; what they give goes to y, unless that is 0."""
    _convolve(stage, work, n)
    nbytes, own = state_nbytes(stage), own_states(stage, work)
    for part in range(get_i64(stage + DELTA_NET.n_parts)):
        j = value_head(stage, head, part)
        s = source + nbytes * (part if source == own else j)
        to = target + nbytes * (part if target == own else j)
        # Of a token alone, nobody reads the state again before the next step.
        passes = int(n == 1 and source != target and target != own)
        _recur(stage, work, part, s, to, n, passes)
        if y != 0:
            column = 4 * j * get_i64(stage + DELTA_NET.value_dim)
            z = x + get_i64(stage + DELTA_NET.z_at) + column
            _finish(stage, out_rows(stage, work), z, y + column, n)


@device
def _convolve(stage, work, n):
    """Rows behind the convolution: queries and keys of length 1, queries / sqrt(key_dim) too."""
    n_taps, nbytes = get_i64(stage + DELTA_NET.n_taps), row_nbytes(stage)
    raw, made, dim = (
        raw_rows(stage, work),
        made_rows(stage, work),
        get_i64(stage + DELTA_NET.key_dim),
    )
    for t in range(n):
        row, to = raw + t * nbytes, made + t * nbytes
        for at in range(0, nbytes, 64):
            total = mul(load(work + at), load(row + at))
            for i in range(nbytes, n_taps * nbytes, nbytes):
                total = fma(load(work + i + at), load(row + i + at), total)
            store(to + at, silu(total))
        one = np.float32(1)
        _normalize(to, 4 * dim, one / np.sqrt(np.float32(dim)))
        _normalize(to + 4 * dim, 4 * dim, one)
    for at in range(0, (n_taps - 1) * nbytes, 64):  # the past of the next ones
        store(raw + at, load(raw + n * nbytes + at))


@device
def _normalize(x, nbytes, length):
    """x = length x / |x|."""
    squares = splat(np.float32(0))
    for at in range(0, nbytes, 64):
        squares = fma(load(x + at), load(x + at), squares)
    scale = splat(length / np.sqrt(sum_lanes(squares) + _EPS))
    for at in range(0, nbytes, 64):
        store(x + at, mul(load(x + at), scale))


@device
def _recur(stage, work, part, source, target, n, passes):
    """The state of a value head through n tokens, and what they read from it.

    Where it `passes`, it is written past the caches, which need not have what stood there then.
    """
    nbytes, value_nbytes = row_nbytes(stage), values_nbytes(stage)
    dim, gates = get_i64(stage + DELTA_NET.key_dim), gate_rows(stage, work) + 128 * part
    for column in range(0, value_nbytes, TILE_NBYTES):
        q = made_rows(stage, work)
        v = q + 8 * dim + part * value_nbytes + column
        s, to, out = source + column * dim, target + column * dim, out_rows(stage, work) + column
        found = zeros(TILE, 1)  # S^T k
        for i in range(dim):
            k = q + 4 * dim + 4 * i
            found = add_outer(found, load_column(s + i * TILE_NBYTES, 64, TILE), k, 4, 1)
        for t in range(n):
            beta, g = get_f32(gates + 4 * t), get_f32(gates + 64 + 4 * t)
            delta = times(sub(load_column(v, 64, TILE), times(found, g)), beta)
            k = q + 4 * dim
            k_next = k + nbytes if t + 1 < n else k  # whose sums are not used then
            made, found = zeros(TILE, 1), zeros(TILE, 1)
            for i in range(dim):
                at = i * TILE_NBYTES
                state = times(load_column(s + at, 64, TILE), g)
                state = add_outer(state, delta, k + 4 * i, 4, 1)
                if passes != 0:
                    stream_column(state, to + at)
                    for line in range(0, TILE_NBYTES, 64):  # of the next columns, meanwhile
                        prefetch(s + dim * TILE_NBYTES + at + line)
                else:
                    save_tile(state, to + at, 64, TILE_NBYTES, TILE, 1)
                made = add_outer(made, state, q + 4 * i, 4, 1)
                found = add_outer(found, state, k_next + 4 * i, 4, 1)
            save_tile(made, out, 64, TILE_NBYTES, TILE, 1)
            s, q, v, out = to, q + nbytes, v + nbytes, out + value_nbytes


@device
def _finish(stage, out, z, y, n):
    """y = RMSNorm(out) SiLU(z) of n tokens of a value head."""
    dim, nbytes = get_i64(stage + DELTA_NET.value_dim), values_nbytes(stage)
    weight, eps = get_i64(stage + DELTA_NET.weight), get_f32(stage + DELTA_NET.eps)
    for t in range(n):
        row, gate = out + t * nbytes, z + t * get_i64(stage + DELTA_NET.x_stride)
        squares = splat(np.float32(0))
        for at in range(0, nbytes, 64):
            squares = fma(load(row + at), load(row + at), squares)
        mean = sum_lanes(squares) / np.float32(dim)
        scale = splat(np.float32(1) / np.sqrt(mean + eps))
        for at in range(0, 4 * dim, 64):
            normed = mul(mul(load(row + at), scale), load(weight + at))
            store(row + at, mul(normed, silu(load(gate + at))))
        copy(row, dim, y + t * get_i64(stage + DELTA_NET.y_stride))
