"""Floats to blocks of the K types and IQ4_XS: a search for the scales that lose least.

A block of 256 inputs has sub-blocks of 16 or 32 with integer scales (and minima), times one or two
half-precision numbers. Per block:

1. For each sub-block alone, the float scale (and minimum) of least error: candidates from
   stretching its range, each improved by weighted least squares, the best by alternating with new
   codes.
2. For the block, candidates of d (and dmin), as half precision has them. With each, every
   sub-block takes the integer scale (and minimum) near its float one whose error, with the codes
   that then are best, is least. The best candidate is improved by weighted least squares and tried
   again.

All errors are weighted squares of what a reader will really see: nothing is rounded afterwards.
16 sub-blocks are the 16 lanes of a vector (one block, or two), so that no sum crosses lanes and
every ISA gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.codes import code_planes, put_bits, put_integer, sub_integers
from halfbyte.kernels.quantizers.scale_search import (
    BIG,
    FREE,
    LANES,
    MINIMUM,
    NUMBERS,
    SCALE,
    TABLE_STRETCH,
    ZERO,
    V,
    W,
    X,
    at,
    clamp,
    codes,
    gather,
    indices,
    inverse_of,
    lane_at,
    search_scale,
    search_scale_min,
    squared_error,
    weigh,
)
from halfbyte.kernels.vectors.scalars import get_f16, get_f32, get_u8, put_f16, put_f32, put_u8
from halfbyte.kernels.vectors.simd import (
    add,
    choose_above,
    fma,
    load,
    minimum,
    mul,
    splat,
    store,
    store_rounded_i8,
    sub,
)

SUPER = 256
_INF = np.float32(np.inf)
# What is known of the sub-blocks of a block beside their scale and minimum, a vector each.
_CHOSEN, _BEST, _SUMS = FREE, FREE + 4, FREE + 8
_D, _DMIN, _S, _M = range(_CHOSEN, _CHOSEN + 4)
_BEST_D, _BEST_DMIN, _BEST_S, _BEST_M = range(_BEST, _BEST + 4)
_ERROR, _TOTAL, _HALF = range(_SUMS + 5, _SUMS + 8)
_CODES = 96
SCRATCH_NBYTES = (_CODES + 8) * V

# Stretches of a sub-block's range that are tried, a tenth of a code apart: the first, how many.
_STRETCH = {"Q2_K": (-0.9, 20), "Q3_K": (-1.6, 24), "Q4_K": (-1.4, 24), "Q5_K": (-1.4, 24),
            "Q6_K": (-1.2, 24)}  # fmt: skip
# Factors of a block's d that are tried.
_FACTORS = tuple(np.float32(f) for f in (1.0, 0.985, 1.015, 0.97, 1.03))
_N_REFITS = 2


@device
def _choose_integers(scratch, n, low, high, s_low, s_high, has_min):
    """With d (and dmin) given: each sub-block's integers of least error into _S, _M, _ERROR."""
    d, dmin = load(at(scratch, _D)), load(at(scratch, _DMIN))
    s0 = codes(load(at(scratch, SCALE)), inverse_of(d), s_low, s_high)
    m0 = codes(load(at(scratch, MINIMUM)), inverse_of(dmin), ZERO, s_high)
    best, best_s, best_m = splat(BIG), s0, m0
    for i in range(3):
        s = clamp(add(s0, splat(np.float32(i - 1))), s_low, s_high)
        for j in range(3 if has_min else 1):
            m = clamp(add(m0, splat(np.float32(j - 1))), ZERO, s_high) if has_min else m0
            error = squared_error(scratch, n, mul(d, s), mul(dmin, m), low, high)
            best_s = choose_above(best, error, s, best_s)
            best_m = choose_above(best, error, m, best_m)
            best = minimum(error, best)
    store(at(scratch, _S), best_s)
    store(at(scratch, _M), best_m)
    store(at(scratch, _ERROR), best)


@device
def _largest(scratch, slot, first, n_subs):
    """The number of largest magnitude among a block's lanes, with its sign."""
    found = get_f32(lane_at(scratch, slot, first))
    for lane in range(first + 1, first + n_subs):
        x = get_f32(lane_at(scratch, slot, lane))
        if abs(x) > abs(found):
            found = x
    return found


@device
def _as_half(scratch, x):
    """x rounded to half precision."""
    half = at(scratch, _HALF)
    put_f16(half, x)
    return get_f16(half)


@device
def _spread(scratch, slot, first, n_subs, x):
    for lane in range(first, first + n_subs):
        put_f32(lane_at(scratch, slot, lane), x)


@device
def _keep_better(scratch, n_subs):
    """Per block: take what was just chosen where its error is below the least so far."""
    for first in range(0, LANES, n_subs):
        error = np.float32(0)
        for lane in range(first, first + n_subs):
            error += get_f32(lane_at(scratch, _ERROR, lane))
        if error < get_f32(lane_at(scratch, _TOTAL, first)):
            put_f32(lane_at(scratch, _TOTAL, first), error)
            for lane in range(first, first + n_subs):
                for i in range(4):
                    x = get_f32(lane_at(scratch, _CHOSEN + i, lane))
                    put_f32(lane_at(scratch, _BEST + i, lane), x)


@device
def _total(scratch, i, first, n_subs):
    """The sum of a block's lanes of sum i."""
    total = np.float64(0)
    for lane in range(first, first + n_subs):
        total += np.float64(get_f32(lane_at(scratch, _SUMS + i, lane)))
    return total


@device
def _refit(scratch, n, low, high, n_subs):
    """d and dmin by least squares for the best integers and their codes, per block."""
    s, m = load(at(scratch, _BEST_S)), load(at(scratch, _BEST_M))
    scale, offset = mul(load(at(scratch, _BEST_D)), s), mul(load(at(scratch, _BEST_DMIN)), m)
    inverse = inverse_of(scale)
    saa, sab, sbb, sxa, sxb = (
        splat(ZERO), splat(ZERO), splat(ZERO), splat(ZERO), splat(ZERO)
    )  # fmt: skip
    for i in range(n):
        x, w = load(at(scratch, X + i)), load(at(scratch, W + i))
        a = mul(s, codes(add(x, offset), inverse, low, high))
        wa, wm = mul(w, a), mul(w, m)
        saa, sab, sbb = fma(wa, a, saa), fma(wa, m, sab), fma(wm, m, sbb)
        sxa, sxb = fma(wa, x, sxa), fma(wm, x, sxb)
    store(at(scratch, _SUMS), saa)
    store(at(scratch, _SUMS + 1), sab)
    store(at(scratch, _SUMS + 2), sbb)
    store(at(scratch, _SUMS + 3), sxa)
    store(at(scratch, _SUMS + 4), sxb)
    for first in range(0, LANES, n_subs):
        aa = _total(scratch, 0, first, n_subs)
        ab, bb = _total(scratch, 1, first, n_subs), _total(scratch, 2, first, n_subs)
        xa, xb = _total(scratch, 3, first, n_subs), _total(scratch, 4, first, n_subs)
        # x = d a - dmin m
        det = aa * bb - ab * ab
        d, dmin = xa / aa if aa > 0.0 else 0.0, 0.0
        if det > 1e-9 * aa * bb:
            d, dmin = (xa * bb - xb * ab) / det, (xa * ab - xb * aa) / det
            if dmin < 0.0:
                d, dmin = xa / aa, 0.0
        if get_f32(lane_at(scratch, _BEST_D, first)) == _INF:
            d = np.inf  # there is nothing to refit
        _spread(scratch, _D, first, n_subs, _as_half(scratch, np.float32(d)))
        _spread(scratch, _DMIN, first, n_subs, _as_half(scratch, np.float32(dmin)))


@device
def _propose(scratch, n_subs, factor, end, has_min):
    """d (and dmin) that put the largest scale (and minimum) of each block at one end."""
    for first in range(0, LANES, n_subs):
        d = _largest(scratch, SCALE, first, n_subs) / end * factor
        _spread(scratch, _D, first, n_subs, _as_half(scratch, d))
        if has_min:
            dmin = _largest(scratch, MINIMUM, first, n_subs) / end
            _spread(scratch, _DMIN, first, n_subs, _as_half(scratch, dmin))


@device
def _from_0_up(q, low, high):
    return indices(q) if high is None else sub(q, splat(low))


@device
def _best_codes(scratch, n, low, high):
    """The codes, from 0 up, of the best scales: bytes, transposed like the inputs."""
    scale = mul(load(at(scratch, _BEST_D)), load(at(scratch, _BEST_S)))
    offset = mul(load(at(scratch, _BEST_DMIN)), load(at(scratch, _BEST_M)))
    inverse = inverse_of(scale)
    for i in range(n):
        q = codes(add(load(at(scratch, X + i)), offset), inverse, low, high)
        store_rounded_i8(at(scratch, _CODES) + i * LANES, _from_0_up(q, low, high))


@device
def _begin(scratch):
    """No candidate yet: where not even one has a finite error, d stays infinite and is refused."""
    store(at(scratch, _TOTAL), splat(BIG))
    store(at(scratch, _BEST_D), splat(_INF))
    for slot in (MINIMUM, _DMIN, _BEST_DMIN, _BEST_S, _BEST_M):
        store(at(scratch, slot), splat(ZERO))


# A block is written from the lanes from `first` on, its sub-blocks.


@device
def _write_numbers(FIELDS, scratch, first, block):
    """d and dmin, all other bytes 0; FIELDS: bytes of a block, where d and dmin lie (-1: none)."""
    nbytes, d, dmin = FIELDS
    for i in range(nbytes):
        put_u8(block + i, np.uint8(0))
    put_f16(block + d, get_f32(lane_at(scratch, _BEST_D, first)))
    if dmin >= 0:
        put_f16(block + dmin, get_f32(lane_at(scratch, _BEST_DMIN, first)))


@device
def _write_integers(AT, INTEGER, n_subs, scratch, slot, first, block):
    """The scales or minima of a slot."""
    if AT is not None:
        for i in range(n_subs):
            x = np.int64(get_f32(lane_at(scratch, slot, first + i)))
            put_integer(AT, INTEGER, block, i, x)


@device
def _write_codes(LOW, HIGH, LOW_PLANE, HIGH_PLANE, n, scratch, first, block):
    """The codes that `_best_codes` has left."""
    for i in range(SUPER):
        code = np.int64(get_u8(at(scratch, _CODES) + i % n * LANES + first + i // n))
        put_bits(LOW_PLANE, block, i, code)
        if HIGH > 0:
            put_bits(HIGH_PLANE, block, i, code >> LOW)


def _range(fmt: BlockFormat) -> tuple[np.float32, np.float32 | None, tuple[Any, ...]]:
    """The least and the largest code (scale_search.py), and the stretches that are tried."""
    if fmt.table:
        return NUMBERS[0], None, TABLE_STRETCH
    first, count = _STRETCH[fmt.name]
    ends = np.float32(-fmt.offset), np.float32(fmt.max_code - fmt.offset)
    return *ends, (np.float32(first), np.float32(0.1), count)


def k_quantizer(fmt: BlockFormat) -> Callable[..., None]:
    """Blocks of a K type, or of IQ4_XS, from floats: the arguments are in quantize.py."""
    assert fmt.scales is not None
    HAS_MIN, N, NBYTES = fmt.addend is not None, fmt.scales.size, fmt.block_nbytes
    SUBS = SUPER // N
    LOW, HIGH, (FIRST, STEP, COUNT) = _range(fmt)
    S_LOW, S_HIGH = (np.float32(end) for end in fmt.scales.ends)
    # Without minima the largest scale may stand at either end of the integers.
    N_ENDS = 1 if HAS_MIN else 2
    N_PROPOSALS = len(_FACTORS) * N_ENDS

    BITS, HIGH_BITS, (LOW_PLANE, HIGH_PLANE) = fmt.low, fmt.high, code_planes(fmt)
    (SCALE_AT, SCALES), (MINIMUM_AT, MINIMA) = sub_integers(fmt)
    FIELDS = NBYTES, fmt.at("d"), fmt.at("dmin") if HAS_MIN else -1

    def quantize(x, importance, out, n_blocks, row_blocks, scratch):
        for block in range(0, n_blocks, LANES // SUBS):
            n_here = min(LANES // SUBS, n_blocks - block)
            gather(scratch, N, x, importance, block * SUBS, n_here * SUBS, row_blocks * SUBS)
            weigh(scratch, N, importance)
            _begin(scratch)
            if HAS_MIN:
                search_scale_min(scratch, N, HIGH, FIRST, STEP, COUNT, False)
            else:
                search_scale(scratch, N, LOW, HIGH, FIRST, STEP, COUNT)
            for k in range(N_PROPOSALS + _N_REFITS):
                if k < N_PROPOSALS:
                    end = S_LOW if k % N_ENDS == 1 else S_HIGH
                    _propose(scratch, SUBS, _FACTORS[k // N_ENDS], end, HAS_MIN)
                else:
                    _refit(scratch, N, LOW, HIGH, SUBS)
                _choose_integers(scratch, N, LOW, HIGH, S_LOW, S_HIGH, HAS_MIN)
                _keep_better(scratch, SUBS)
            _best_codes(scratch, N, LOW, HIGH)
            for i in range(n_here):
                first, to = i * SUBS, out + (block + i) * NBYTES
                _write_numbers(FIELDS, scratch, first, to)
                _write_integers(SCALE_AT, SCALES, SUBS, scratch, _BEST_S, first, to)
                _write_integers(MINIMUM_AT, MINIMA, SUBS, scratch, _BEST_M, first, to)
                _write_codes(BITS, HIGH_BITS, LOW_PLANE, HIGH_PLANE, N, scratch, first, to)

    return quantize
