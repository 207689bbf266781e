"""A key head's part of rows of all channels, in a thread's own memory: see delta_net.py.

A row there is q, k and the values of each value head that shares them, these padded with zeros to
whole tiles. Heads are multiples of 16 features. The memory holds the convolution's weights, rows
before it, those of the past first, rows behind it, what a value head gives, each value head's rates
and decays of TOKENS tokens, and states that guesses make.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.delta_states import TILE, TILE_NBYTES, TOKENS
from halfbyte.kernels.stages.record import DELTA_NET
from halfbyte.kernels.vectors.scalars import get_i64
from halfbyte.kernels.vectors.simd import load, splat, store


@device
def values_nbytes(stage):
    """Bytes of a head's values there: whole tiles."""
    dim = get_i64(stage + DELTA_NET.value_dim)
    return (dim + 16 * TILE - 1) // (16 * TILE) * TILE_NBYTES


@device
def row_nbytes(stage):
    """Bytes of a row there: q, k, and v of each value head."""
    n_parts = get_i64(stage + DELTA_NET.n_parts)
    return 8 * get_i64(stage + DELTA_NET.key_dim) + n_parts * values_nbytes(stage)


@device
def value_head(stage, head, part):
    """The number of a value head in a file's order."""
    return head * get_i64(stage + DELTA_NET.head_step) + part * get_i64(stage + DELTA_NET.part_step)


@device
def raw_rows(stage, work):
    """Where rows before the convolution lie: behind its weights, those of the past first."""
    return work + get_i64(stage + DELTA_NET.n_taps) * row_nbytes(stage)


@device
def made_rows(stage, work):
    """Where rows behind it lie."""
    n = get_i64(stage + DELTA_NET.n_taps) - 1 + TOKENS
    return raw_rows(stage, work) + n * row_nbytes(stage)


@device
def out_rows(stage, work):
    """Where what a value head gives lies."""
    return made_rows(stage, work) + TOKENS * row_nbytes(stage)


@device
def gate_rows(stage, work):
    """Where rates and decays lie: of each value head a vector of both."""
    return out_rows(stage, work) + TOKENS * values_nbytes(stage)


@device
def own_states(stage, work):
    """Where states lie that no block gets."""
    return gate_rows(stage, work) + 128 * get_i64(stage + DELTA_NET.n_parts)


@device
def state_nbytes(stage):
    """Bytes of a value head's state."""
    return get_i64(stage + DELTA_NET.key_dim) * values_nbytes(stage)


@device
def copy(x, n, to):
    """n floats, a multiple of 16."""
    for at in range(0, 4 * n, 64):
        store(to + at, load(x + at))


@device
def _take_values(x, n, to, nbytes):
    """n floats, and zeros behind them."""
    copy(x, n, to)
    for at in range(4 * n, nbytes, 64):
        store(to + at, splat(np.float32(0)))


@device
def take_row(stage, head, x, to):
    """A head's part of a row of all channels."""
    n_heads, dim = get_i64(stage + DELTA_NET.n_key_heads), get_i64(stage + DELTA_NET.key_dim)
    value_dim, nbytes = get_i64(stage + DELTA_NET.value_dim), values_nbytes(stage)
    copy(x + 4 * head * dim, dim, to)
    copy(x + 4 * (n_heads + head) * dim, dim, to + 4 * dim)
    for part in range(get_i64(stage + DELTA_NET.n_parts)):
        v = x + 4 * (2 * n_heads * dim + value_head(stage, head, part) * value_dim)
        _take_values(v, value_dim, to + 8 * dim + part * nbytes, nbytes)


@device
def put_row(stage, head, x, to):
    """The same back into a row of all channels."""
    n_heads, dim = get_i64(stage + DELTA_NET.n_key_heads), get_i64(stage + DELTA_NET.key_dim)
    value_dim, nbytes = get_i64(stage + DELTA_NET.value_dim), values_nbytes(stage)
    copy(x, dim, to + 4 * head * dim)
    copy(x + 4 * dim, dim, to + 4 * (n_heads + head) * dim)
    for part in range(get_i64(stage + DELTA_NET.n_parts)):
        at = 2 * n_heads * dim + value_head(stage, head, part) * value_dim
        copy(x + 8 * dim + part * nbytes, value_dim, to + 4 * at)
