"""The scale, or scale and minimum, that loses least: for 16 sub-blocks at once.

A sub-block is up to 32 inputs with one scale; 16 of them are the lanes of a vector, so that no sum
crosses lanes and every ISA gives the same bits. They lie in scratch, transposed to
[input][sub-block], beside the weights that their squared errors count with.

Codes are whole numbers from `low` to `high`; where `high` is None, the numbers of IQ4's table.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.formats.iq4 import TABLE
from halfbyte.kernels.vectors.scalars import get_f32, put_f32
from halfbyte.kernels.vectors.simd import (
    absolute,
    add,
    choose_above,
    div,
    fma,
    load,
    maximum,
    minimum,
    mul,
    splat,
    sqrt,
    store,
    sub,
)
from halfbyte.kernels.vectors.transpose import transpose_f32

LANES = 16
V = 64  # bytes of a vector
# Slots of scratch, a vector each: inputs, their weights, and what a search finds.
X, W, SCALE, MINIMUM, FREE = 0, 32, 64, 65, 66
ZERO, ONE, TWO = (np.float32(i) for i in range(3))
BIG = np.float32(3e38)
_ROUND = np.float32(12582912.0)  # 1.5 * 2**23: adding it rounds to nearest even
_N_REFINEMENTS = 3
# Of IQ4: its numbers, those between two, and how far its range is stretched (first, step, count).
NUMBERS = tuple(np.float32(number) for number in TABLE)
_BETWEEN = tuple(np.float32((a + b) / 2) for a, b in pairwise(TABLE))
_INDICES = tuple(np.float32(i) for i in range(len(TABLE)))
TABLE_STRETCH = np.float32(-26), np.float32(3), 14


@device
def lane_at(scratch, slot, lane):
    return scratch + slot * V + 4 * lane


@device
def round_even(x):
    return sub(add(x, splat(_ROUND)), splat(_ROUND))


@device
def clamp(x, low, high):
    return minimum(maximum(x, splat(low)), splat(high))


@device
def inverse_of(x):
    """1 / x, 0 at 0."""
    return choose_above(absolute(x), splat(ZERO), div(splat(ONE), x), splat(ZERO))


@device
def _ratio(x, y, other):
    """x / y, and `other` where y is not above 0."""
    return choose_above(y, splat(ZERO), div(x, y), other)


@device
def at(scratch, slot):
    return scratch + slot * V


@device
def _passed(NAMES, x):
    """The one of 16 names whose number of IQ4's table is nearest to x."""
    found = splat(NAMES[0])
    for k in range(len(_BETWEEN)):
        found = choose_above(x, splat(_BETWEEN[k]), splat(NAMES[k + 1]), found)
    return found


@device
def indices(code):
    """Where numbers of IQ4's table stand in it."""
    return _passed(_INDICES, code)


@device
def codes(x, inverse, low, high):
    if high is None:
        return _passed(NUMBERS, mul(x, inverse))
    return clamp(round_even(mul(x, inverse)), low, high)


@device
def search_scale(scratch, n, low, high, first, step, count):
    """The scale of least error of each sub-block, for codes low..high without a minimum."""
    peak, largest = splat(ZERO), splat(ZERO)
    for i in range(n):
        x = load(at(scratch, X + i))
        peak = choose_above(absolute(x), largest, x, peak)
        largest = maximum(absolute(x), largest)
    best, best_gain = splat(ZERO), splat(ZERO)
    for k in range(2 * count):
        # The larger end of the codes is the negative one; both signs of the scale are tried.
        stretched = -low + first + step * np.float32(k // 2)
        inverse = div(splat(-stretched if k % 2 == 0 else stretched), peak)
        sxq, sqq = splat(ZERO), splat(ZERO)
        for i in range(n):
            x = load(at(scratch, X + i))
            q = codes(x, inverse, low, high)
            wq = mul(load(at(scratch, W + i)), q)
            sxq, sqq = fma(wq, x, sxq), fma(wq, q, sqq)
        scale = _ratio(sxq, sqq, splat(ZERO))
        gain = mul(scale, sxq)
        best = choose_above(gain, best_gain, scale, best)
        best_gain = maximum(gain, best_gain)
    store(at(scratch, SCALE), best)


@device
def search_scale_min(scratch, n, high, first, step, count, is_free):
    """The scale and minimum of least error of each sub-block, for codes 0..high.

    x = scale q - minimum, and the minimum is not below 0 unless `is_free`.
    """
    low_x, high_x = load(at(scratch, X)), load(at(scratch, X))
    sw, swx, swxx = splat(ZERO), splat(ZERO), splat(ZERO)
    for i in range(n):
        x, w = load(at(scratch, X + i)), load(at(scratch, W + i))
        low_x, high_x = minimum(x, low_x), maximum(x, high_x)
        wx = mul(w, x)
        sw, swx, swxx = add(sw, w), add(swx, wx), fma(wx, x, swxx)
    if not is_free:
        low_x = minimum(low_x, splat(ZERO))
    span = sub(high_x, low_x)
    best, best_min, best_error = splat(ZERO), sub(splat(ZERO), low_x), splat(BIG)
    for k in range(count):
        inverse = _ratio(splat(high + first + step * np.float32(k)), span, splat(ZERO))
        offset = sub(splat(ZERO), low_x)
        for _ in range(_N_REFINEMENTS):
            sq, sqq, sxq = splat(ZERO), splat(ZERO), splat(ZERO)
            for i in range(n):
                x, w = load(at(scratch, X + i)), load(at(scratch, W + i))
                q = codes(add(x, offset), inverse, ZERO, high)
                wq = mul(w, q)
                sq, sqq, sxq = add(sq, wq), fma(wq, q, sqq), fma(wq, x, sxq)
            # Least squares for x = scale q - offset; without an offset where that is below 0.
            det = sub(mul(sw, sqq), mul(sq, sq))
            scale = _ratio(sub(mul(sw, sxq), mul(sq, swx)), det, splat(ZERO))
            offset = _ratio(sub(mul(sq, sxq), mul(sqq, swx)), det, splat(ZERO))
            if not is_free:
                alone = _ratio(sxq, sqq, splat(ZERO))
                scale = choose_above(offset, splat(ZERO), scale, alone)
                offset = maximum(offset, splat(ZERO))
            # sum w (scale q - offset - x)^2
            error = add(swxx, mul(scale, sub(mul(scale, sqq), mul(splat(TWO), sxq))))
            error = add(error, mul(offset, sub(mul(offset, sw), mul(splat(TWO),
                        sub(mul(scale, sq), swx)))))  # fmt: skip
            is_valid = choose_above(scale, splat(ZERO), error, splat(BIG))
            best = choose_above(best_error, is_valid, scale, best)
            best_min = choose_above(best_error, is_valid, offset, best_min)
            best_error = minimum(is_valid, best_error)
            inverse = inverse_of(scale)
    store(at(scratch, SCALE), best)
    store(at(scratch, MINIMUM), best_min)


@device
def squared_error(scratch, n, scale, offset, low, high):
    """sum w (scale q - offset - x)^2 with the best codes q, per lane."""
    inverse, total = inverse_of(scale), splat(ZERO)
    for i in range(n):
        x = add(load(at(scratch, X + i)), offset)
        e = sub(x, mul(scale, codes(x, inverse, low, high)))
        total = fma(mul(e, load(at(scratch, W + i))), e, total)
    return total


@device
def gather(scratch, n, x, importance, first, n_subs, row_subs):
    """Put n_subs sub-blocks of n inputs, from number `first` on, into lanes; the rest are zeros.

    `importance` (floats of a row of row_subs sub-blocks, or 0) goes to the weights.
    """
    source = x + first * n * 4
    if n_subs == LANES:
        for i in range(0, n, LANES):
            transpose_f32(source + 4 * i, 4 * n, at(scratch, X + i), V)
    else:
        for lane in range(LANES):
            for i in range(n):
                value = get_f32(source + (lane * n + i) * 4) if lane < n_subs else ZERO
                put_f32(lane_at(scratch, X + i, lane), value)
    if importance != 0:
        for lane in range(LANES):
            weight = importance + (first + lane) % row_subs * n * 4
            for i in range(n):
                w = get_f32(weight + 4 * i) if lane < n_subs else ZERO
                put_f32(lane_at(scratch, W + i, lane), w)


@device
def weigh(scratch, n, importance_at):
    """Weights of the inputs: 2 rms + |x| of the sub-block, times their importance if given.

    Large weights matter more than their share of the squares; how much more was measured.
    """
    power = splat(ZERO)
    for i in range(n):
        x = load(at(scratch, X + i))
        power = fma(x, x, power)
    floor = mul(splat(TWO), sqrt(div(power, splat(np.float32(n)))))
    for i in range(n):
        w = add(floor, absolute(load(at(scratch, X + i))))
        if importance_at != 0:
            w = mul(w, load(at(scratch, W + i)))
        store(at(scratch, W + i), w)
