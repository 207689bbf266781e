"""What Mamba-2's heads take of tokens: the convolution, and the steps in time (mamba2.py).

A chunk is some heads that share B and C, and has these of TOKENS tokens in a thread's own memory,
for each of them

    x of the heads, B, C, their dt, exp(dt A)

each in whole vectors. Behind them are a vector, a row of zeros as wide as the convolution, and the
states of heads that have met guesses.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.stages.record import MAMBA2, SPAN, STEP
from halfbyte.kernels.vectors.scalars import get_f32, get_i64, put_f32
from halfbyte.kernels.vectors.simd import add, fma, load, maximum, minimum, mul, splat, store
from halfbyte.kernels.vectors.vector_math import exp, silu, softplus

# Whose inputs are made before heads meet them one by one: a head's state stays in the L1 cache.
TOKENS = 16
MAX_PART = 8  # heads of a chunk


def heads_of_part(n_heads: int, n_groups: int) -> int:
    """How many heads are a chunk: some that share B and C."""
    shared = n_heads // n_groups
    return max(n for n in range(1, MAX_PART + 1) if shared % n == 0)


def work_nbytes(n_heads: int, head_dim: int, n_state: int, n_groups: int) -> int:
    """Bytes of a thread's own memory that a chunk takes."""
    n_part = heads_of_part(n_heads, n_groups)
    inputs = _nbytes(n_part * head_dim) + 2 * _nbytes(n_state) + 128
    channels = _nbytes(n_heads * head_dim + 2 * n_groups * n_state)
    return TOKENS * inputs + 64 + channels + n_part * n_state * _nbytes(head_dim)


def _nbytes(n: int) -> int:
    return -(-n // 16) * 64


@device
def n_certain(span):
    """Tokens after which the state is written: those that are done again, and rows."""
    return get_i64(span + SPAN.n_kept) + get_i64(span + SPAN.n_certain)


@device
def up(n):
    """n, or as many more as fill vectors."""
    return (n + 15) // 16 * 16


@device
def _inner(stage):
    """Features of all heads."""
    return get_i64(stage + MAMBA2.n_heads) * get_i64(stage + MAMBA2.head_dim)


@device
def _n_channels(stage):
    """Those of the convolution."""
    both = 2 * get_i64(stage + MAMBA2.n_groups) * get_i64(stage + MAMBA2.n_state)
    return _inner(stage) + both


@device
def conv_nbytes(stage):
    """Bytes of a row of its inputs in a block."""
    return 4 * up(_n_channels(stage))


@device
def _x_nbytes(stage):
    return 4 * up(get_i64(stage + MAMBA2.n_part) * get_i64(stage + MAMBA2.head_dim))


@device
def work(stage, step, i):
    """Where a thread has what is taken of token i."""
    nbytes = _x_nbytes(stage) + 8 * up(get_i64(stage + MAMBA2.n_state)) + 128
    return get_i64(step + STEP.work) + i * nbytes


@device
def zeros(stage, step):
    """Where it has zeros, for what was before a text's beginning."""
    return work(stage, step, TOKENS) + 64


@device
def inputs(stage, step, span, i):
    """Where the convolution's inputs of token i lie, and behind them its dt.

    Tokens count from the first that is done again; those before it are in the block.
    """
    n_kept = get_i64(span + SPAN.n_kept)
    if i < 0:
        if get_i64(span + SPAN.state) == 0:
            return zeros(stage, step)
        at = (get_i64(stage + MAMBA2.n_taps) - 1 + i) * conv_nbytes(stage)
        return get_i64(span + SPAN.state) + get_i64(stage + MAMBA2.state_at) + at
    if i < n_kept:
        at = i * get_i64(stage + MAMBA2.token_nbytes) + get_i64(stage + MAMBA2.kept_at)
        return get_i64(span + SPAN.kept) + at
    row = get_i64(span + SPAN.row) + i - n_kept
    return get_i64(stage + MAMBA2.x) + row * get_i64(stage + MAMBA2.x_stride) + 4 * _inner(stage)


@device
def _places(stage, first_head):
    """The first channels of a chunk's x, and of the B and C of its group."""
    n_state = get_i64(stage + MAMBA2.n_state)
    b = _inner(stage) + _group(stage, first_head) * n_state
    c = b + get_i64(stage + MAMBA2.n_groups) * n_state
    return first_head * get_i64(stage + MAMBA2.head_dim), b, c


@device
def _group(stage, head):
    """Whose B and C a head takes."""
    return head * get_i64(stage + MAMBA2.n_groups) // get_i64(stage + MAMBA2.n_heads)


@device
def _first_of(i, n_all, n):
    """From where on n numbers from i on are loaded: behind all of them nothing is read."""
    return min(i, up(n_all) - up(n))


@device
def _first(stage, i, n):
    """The same of channels."""
    return _first_of(i, _n_channels(stage), n)


@device
def taken(stage, first_head, i, work):
    """Where x, B, C and dt of a chunk's head i lie, exp(dt A) being a vector behind dt."""
    n_state, head_dim = get_i64(stage + MAMBA2.n_state), get_i64(stage + MAMBA2.head_dim)
    n_part, n_heads = get_i64(stage + MAMBA2.n_part), get_i64(stage + MAMBA2.n_heads)
    x, b, c = _places(stage, first_head)
    x_at = work + 4 * (x - _first(stage, x, n_part * head_dim) + i * head_dim)
    work += _x_nbytes(stage)
    b_at = work + 4 * (b - _first(stage, b, n_state))
    work += 4 * up(n_state)
    c_at = work + 4 * (c - _first(stage, c, n_state))
    work += 4 * up(n_state)
    return x_at, b_at, c_at, work + 4 * (first_head + i - _first_of(first_head, n_heads, n_part))


@device
def prepare(stage, step, span, first_head, i, work):
    """What a chunk's heads take of token i."""
    n_part, n_state = get_i64(stage + MAMBA2.n_part), get_i64(stage + MAMBA2.n_state)
    x, b, c = _places(stage, first_head)
    _convolve(stage, step, span, i, x, n_part * get_i64(stage + MAMBA2.head_dim), work)
    work += _x_nbytes(stage)
    _convolve(stage, step, span, i, b, n_state, work)
    work += 4 * up(n_state)
    _convolve(stage, step, span, i, c, n_state, work)
    work += 4 * up(n_state)
    at = 4 * _first_of(first_head, get_i64(stage + MAMBA2.n_heads), n_part)
    dt = load(inputs(stage, step, span, i) + 4 * _n_channels(stage) + at)
    dt = softplus(add(dt, load(get_i64(stage + MAMBA2.dt_bias) + at)))
    dt = minimum(maximum(dt, splat(get_f32(stage + MAMBA2.dt_low))),
                 splat(get_f32(stage + MAMBA2.dt_high)))  # fmt: skip
    store(work, dt)
    store(work + 64, exp(mul(dt, load(get_i64(stage + MAMBA2.a) + at))))


@device
def _convolve(stage, step, span, i, first, n, to):
    """SiLU of n channels' convolution at token i, from channel `first` on or some before it."""
    at = 4 * _first(stage, first, n)
    n_taps, taps = get_i64(stage + MAMBA2.n_taps), get_i64(stage + MAMBA2.taps) + at
    bias = get_i64(stage + MAMBA2.bias) + at
    for v in range(0, 4 * n, 64):
        store(to + v, load(bias + v))
    for k in range(n_taps):
        x = inputs(stage, step, span, i + 1 - n_taps + k) + at
        for v in range(0, 4 * n, 64):
            store(to + v, fma(load(x + v), load(taps + v), load(to + v)))
        taps += get_i64(stage + MAMBA2.taps_stride)
    for v in range(0, 4 * n, 64):
        store(to + v, silu(load(to + v)))


@device
def keep_inputs(stage, step, span, first_head):
    """The last inputs of a chunk's channels, without guesses, into the block to write."""
    n_before, stride = get_i64(stage + MAMBA2.n_taps) - 1, conv_nbytes(stage)
    to = get_i64(span + SPAN.next) + get_i64(stage + MAMBA2.state_at)
    for k in range(n_before):
        source = inputs(stage, step, span, n_certain(span) - n_before + k)
        _copy_channels(stage, source, to + k * stride, first_head)


@device
def write_journal(stage, step, span, first_head):
    """A chunk's inputs of guesses, and their dt."""
    first, dt_at = get_i64(span + SPAN.n_certain), 4 * (_n_channels(stage) + first_head)
    to = get_i64(span + SPAN.journal) + get_i64(stage + MAMBA2.kept_at)
    for row in range(first, get_i64(span + SPAN.n_rows)):
        source = inputs(stage, step, span, get_i64(span + SPAN.n_kept) + row)
        _copy_channels(stage, source, to, first_head)
        copy(source + dt_at, to + dt_at, get_i64(stage + MAMBA2.n_part))
        to += get_i64(stage + MAMBA2.token_nbytes)


@device
def _copy_channels(stage, source, to, first_head):
    """A chunk's channels of a row; the first of a group's chunks has its B and C."""
    n_state, head_dim = get_i64(stage + MAMBA2.n_state), get_i64(stage + MAMBA2.head_dim)
    x, b, c = _places(stage, first_head)
    copy(source + 4 * x, to + 4 * x, get_i64(stage + MAMBA2.n_part) * head_dim)
    group = _group(stage, first_head)
    if group * get_i64(stage + MAMBA2.n_heads) == first_head * get_i64(stage + MAMBA2.n_groups):
        copy(source + 4 * b, to + 4 * b, n_state)
        copy(source + 4 * c, to + 4 * c, n_state)


@device
def copy(source, to, n):
    """n floats and no more."""
    for i in range(n // 16):
        store(to + 64 * i, load(source + 64 * i))
    for i in range(n // 16 * 16, n):
        put_f32(to + 4 * i, get_f32(source + 4 * i))


@device
def clear(to, nbytes):
    """Zeros, in whole vectors."""
    for v in range(0, nbytes, 64):
        store(to + v, splat(np.float32(0)))
