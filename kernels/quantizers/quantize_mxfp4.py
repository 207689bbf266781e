"""Floats to blocks of MXFP4.

Without importance the bytes are those of ggml's reference quantizer (quantize_row_mxfp4_ref): the
largest number of a block gives its power of two. With importance twice that is tried too, which
spares large numbers from being cut off. 16 blocks are the 16 lanes of a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.formats.mxfp4 import MXFP4, SIZES
from halfbyte.kernels.quantizers.scale_search import (
    FREE,
    LANES,
    ONE,
    ZERO,
    V,
    W,
    X,
    at,
    gather,
    lane_at,
    weigh,
)
from halfbyte.kernels.vectors.scalars import get_f32, get_i32, get_u8, put_u8
from halfbyte.kernels.vectors.simd import (
    absolute,
    add,
    choose_above,
    fma,
    load,
    load_e8m0,
    maximum,
    mul,
    splat,
    store,
    store_rounded_i8,
    sub,
)
from halfbyte.kernels.vectors.transpose import join_nibbles, transpose_bytes

N = 32
_PEAK, _ERROR, _TWICE, _POWER, _CODES, _BLOCKS = (FREE + i for i in (0, 1, 2, 3, 4, 12))
SCRATCH_NBYTES = _BLOCKS * V + LANES * MXFP4.block_nbytes
_NBYTES, _E_AT, _QS_AT = MXFP4.block_nbytes, MXFP4.at("e"), MXFP4.at("qs")
# Magnitudes above the one between two neighbours take the larger: how many codes and how much of
# the table's number each is more.
_BETWEEN = tuple(np.float32((a + b) / 2) for a, b in pairwise(SIZES))
_CODE_STEPS = tuple(ONE for _ in _BETWEEN)
_SIZE_STEPS = tuple(np.float32(b - a) for a, b in pairwise(SIZES))
_MINUS = np.float32(len(SIZES))  # what a code with a sign is more


@device
def _passed(STEPS, magnitude, d):
    """The steps up to the number that is nearest to each magnitude, together."""
    found = splat(ZERO)
    for k in range(len(_BETWEEN)):
        more = add(found, splat(STEPS[k]))
        found = choose_above(magnitude, mul(d, splat(_BETWEEN[k])), more, found)
    return found


@device
def _find_powers(scratch):
    """_POWER: the exponent with which a block's largest number lies from 8 up to 16."""
    peak = splat(ZERO)
    for i in range(N):
        peak = maximum(absolute(load(at(scratch, X + i))), peak)
    store(at(scratch, _PEAK), peak)
    for lane in range(LANES):
        exponent = np.int64(get_i32(lane_at(scratch, _PEAK, lane))) >> 23
        put_u8(at(scratch, _POWER) + lane, np.uint8(max(exponent - 2, 0)))


@device
def _error(scratch, powers):
    """The sum of weighted squared errors of each block."""
    d, total = load_e8m0(powers), splat(ZERO)
    for i in range(N):
        x = absolute(load(at(scratch, X + i)))
        e = sub(x, mul(d, _passed(_SIZE_STEPS, x, d)))
        total = fma(mul(e, load(at(scratch, W + i))), e, total)
    return total


@device
def _try_twice(scratch):
    """Twice the power of two for blocks that lose less so."""
    powers, twice = at(scratch, _POWER), at(scratch, _TWICE)
    for lane in range(LANES):
        put_u8(twice + lane, np.uint8(get_u8(powers + lane) + 1))
    store(at(scratch, _ERROR), sub(_error(scratch, powers), _error(scratch, twice)))
    for lane in range(LANES):
        if get_f32(lane_at(scratch, _ERROR, lane)) > ZERO:
            put_u8(powers + lane, get_u8(twice + lane))


@device
def _write_blocks(scratch, out):
    """The blocks of all lanes, one after the other."""
    codes, d = at(scratch, _CODES), load_e8m0(at(scratch, _POWER))
    for i in range(N):
        x = load(at(scratch, X + i))
        code = _passed(_CODE_STEPS, absolute(x), d)
        minus = choose_above(code, splat(ZERO), add(code, splat(_MINUS)), code)
        store_rounded_i8(codes + i * LANES, choose_above(splat(ZERO), x, minus, code))
    for lane in range(LANES):
        put_u8(out + lane * _NBYTES + _E_AT, get_u8(at(scratch, _POWER) + lane))
    for i in range(N // 2):
        row = codes + i * LANES
        join_nibbles(row, row + N // 2 * LANES, row)
    transpose_bytes(codes, LANES, out + _QS_AT, _NBYTES)


def mxfp4_quantizer() -> Callable[..., None]:
    """Blocks of 32 inputs from floats: the arguments are in quantize.py."""

    def quantize(x, importance, out, n_blocks, row_blocks, scratch):
        for block in range(0, n_blocks, LANES):
            n_here = min(LANES, n_blocks - block)
            gather(scratch, N, x, importance, block, n_here, row_blocks)
            _find_powers(scratch)
            if importance != 0:
                weigh(scratch, N, importance)
                _try_twice(scratch)
            if n_here == LANES:
                _write_blocks(scratch, out + block * _NBYTES)
            else:
                _write_blocks(scratch, at(scratch, _BLOCKS))
                for i in range(n_here * _NBYTES):
                    put_u8(out + block * _NBYTES + i, get_u8(at(scratch, _BLOCKS) + i))

    return quantize
