"""Floats to blocks of 32 inputs: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and IQ4_NL.

Without importance the bytes are those of ggml's reference quantizers (quantize_row_q4_0_ref and so
on), which the `gguf` package repeats: the range of a block gives its scale. With importance the
scale (and minimum) is searched for as in the K types, in IQ4_NL always. 16 blocks are the 16 lanes
of a vector.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.small import Q8_0
from halfbyte.kernels.quantizers.scale_search import (
    FREE,
    LANES,
    MINIMUM,
    NUMBERS,
    ONE,
    SCALE,
    TABLE_STRETCH,
    TWO,
    ZERO,
    V,
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
    weigh,
)
from halfbyte.kernels.vectors.scalars import get_f32, get_u8, put_f16, put_i32, put_u8
from halfbyte.kernels.vectors.simd import (
    absolute,
    add,
    choose_above,
    div,
    floor,
    load,
    load_f16,
    maximum,
    minimum,
    mul,
    splat,
    store,
    store_f16,
    store_rounded_i8,
    sub,
)
from halfbyte.kernels.vectors.transpose import join_nibbles, transpose_bytes

N = 32
_HALF, _CODES, _BLOCKS = FREE, FREE + 1, FREE + 9
_INF = np.float32(np.inf)
SCRATCH_NBYTES = _BLOCKS * V + LANES * Q8_0.block_nbytes  # the largest of these blocks
# Stretches of a block's range that the search tries, a tenth of a code apart.
_FIRST, _STEP, _COUNT = np.float32(-1.4), np.float32(0.1), 24


@device
def _finite_inverse(x):
    """1 / x, and 0 where that is not finite."""
    inverse = div(splat(ONE), x)
    return choose_above(splat(_INF), absolute(inverse), inverse, splat(ZERO))


@device
def _put_codes(scratch, i, q):
    store_rounded_i8(at(scratch, _CODES) + i * LANES, q)


@device
def _by_range(scratch, low, high):
    """SCALE (and MINIMUM) from the range of a block; codes from 0 up, rounded as ggml rounds."""
    half = np.float32(0.5)
    if low < ZERO:
        # The input of largest magnitude, with its sign, becomes code 0.
        peak = splat(ZERO)
        for i in range(N):
            x = load(at(scratch, X + i))
            peak = choose_above(absolute(x), absolute(peak), x, peak)
        scale, begin = div(peak, splat(low)), splat(ZERO)
        shift = half - low
    else:
        begin, end = load(at(scratch, X)), load(at(scratch, X))
        for i in range(1, N):
            x = load(at(scratch, X + i))
            begin, end = minimum(x, begin), maximum(x, end)
        scale, shift = div(sub(end, begin), splat(high)), half
    inverse = _finite_inverse(scale)
    store(at(scratch, SCALE), scale)
    store(at(scratch, MINIMUM), begin)
    for i in range(N):
        scaled = mul(sub(load(at(scratch, X + i)), begin), inverse)
        q = floor(add(scaled, splat(shift)))
        _put_codes(scratch, i, clamp(q, ZERO, high - low))


@device
def _bytes_by_range(scratch):
    """Q8_0: SCALE from the largest magnitude; signed codes, halves rounded away from zero."""
    largest = splat(ZERO)
    for i in range(N):
        largest = maximum(absolute(load(at(scratch, X + i))), largest)
    scale = div(largest, splat(np.float32(127)))
    inverse = _finite_inverse(scale)
    store(at(scratch, SCALE), scale)
    for i in range(N):
        scaled = mul(load(at(scratch, X + i)), inverse)
        magnitude = absolute(scaled)
        whole = floor(magnitude)
        whole = add(whole, floor(mul(splat(TWO), sub(magnitude, whole))))
        _put_codes(scratch, i, choose_above(scaled, splat(ZERO), whole, sub(splat(ZERO), whole)))


@device
def _as_half(scratch, slot):
    """What half precision makes of a slot, which keeps it."""
    store_f16(at(scratch, _HALF), load(at(scratch, slot)))
    rounded = load_f16(at(scratch, _HALF))
    store(at(scratch, slot), rounded)
    return rounded


@device
def _by_search(scratch, low, high, has_min, shift):
    """SCALE (and MINIMUM) of least weighted error; the codes that then are best."""
    if has_min:
        search_scale_min(scratch, N, high, _FIRST, _STEP, _COUNT, True)
        store(at(scratch, MINIMUM), sub(splat(ZERO), load(at(scratch, MINIMUM))))
    else:
        search_scale(scratch, N, low, high, _FIRST, _STEP, _COUNT)
        store(at(scratch, MINIMUM), splat(ZERO))
    inverse, begin = inverse_of(_as_half(scratch, SCALE)), _as_half(scratch, MINIMUM)
    for i in range(N):
        q = codes(sub(load(at(scratch, X + i)), begin), inverse, low, high)
        _put_codes(scratch, i, add(q, splat(shift)))


@device
def _by_table(scratch, low, first, step, count):
    """SCALE of least weighted error for the numbers of a table; where the nearest stand in it."""
    search_scale(scratch, N, low, None, first, step, count)
    inverse = inverse_of(_as_half(scratch, SCALE))
    for i in range(N):
        _put_codes(scratch, i, indices(mul(load(at(scratch, X + i)), inverse)))


@device
def _write_blocks(FIELDS, scratch, out):
    """The blocks of all lanes, one after the other; FIELDS: see `_fields`."""
    nbytes, d, m, qh, qs, bits = FIELDS
    codes_at = at(scratch, _CODES)
    for lane in range(LANES):
        put_f16(out + lane * nbytes + d, get_f32(lane_at(scratch, SCALE, lane)))
        if m >= 0:
            put_f16(out + lane * nbytes + m, get_f32(lane_at(scratch, MINIMUM, lane)))
        if qh >= 0:
            put_i32(out + lane * nbytes + qh, _fifth_bits(codes_at + lane))
    if bits == 8:
        transpose_bytes(codes_at + N // 2 * LANES, LANES, out + qs + N // 2, nbytes)
    else:
        for i in range(N // 2):
            row = codes_at + i * LANES
            join_nibbles(row, row + N // 2 * LANES, row)
    transpose_bytes(codes_at, LANES, out + qs, nbytes)


@device
def _write(FIELDS, scratch, n_here, out):
    """The blocks of the first n_here lanes."""
    if n_here == LANES:
        _write_blocks(FIELDS, scratch, out)
    else:
        _write_blocks(FIELDS, scratch, at(scratch, _BLOCKS))
        for i in range(n_here * FIELDS[0]):
            put_u8(out + i, get_u8(at(scratch, _BLOCKS) + i))


@device
def _fifth_bits(codes_at):
    bits = np.int64(0)
    for i in range(N):
        bits |= np.int64(get_u8(codes_at + i * LANES) >> 4 & 1) << i
    return np.int32(bits)


def _fields(fmt: BlockFormat) -> tuple[int, ...]:
    """Bytes of a block, where d, m, qh and qs begin in it (-1: it has none), bits of a code."""
    at = [
        fmt.at(name) if name in (fmt.dtype.names or ()) else -1 for name in ("d", "m", "qh", "qs")
    ]
    return fmt.block_nbytes, *at, fmt.bits


def small_quantizer(fmt: BlockFormat) -> Callable[..., None]:
    """Blocks of 32 inputs from floats: the arguments are in quantize.py."""
    HAS_MIN, IS_BYTES = fmt.addend is not None, fmt.bits == 8
    OFFSET = 127 if IS_BYTES else fmt.offset
    LOW, HIGH = np.float32(-OFFSET), np.float32(OFFSET if IS_BYTES else fmt.max_code - OFFSET)
    SHIFT = ZERO if IS_BYTES else -LOW
    NBYTES, FIELDS = fmt.block_nbytes, _fields(fmt)

    def quantize(x, importance, out, n_blocks, row_blocks, scratch):
        for block in range(0, n_blocks, LANES):
            n_here = min(LANES, n_blocks - block)
            gather(scratch, N, x, importance, block, n_here, row_blocks)
            if importance != 0:
                weigh(scratch, N, importance)
                _by_search(scratch, LOW, HIGH, HAS_MIN, SHIFT)
            elif IS_BYTES:
                _bytes_by_range(scratch)
            else:
                _by_range(scratch, LOW, HIGH)
            _write(FIELDS, scratch, n_here, out + block * NBYTES)

    return quantize


def table_quantizer(fmt: BlockFormat) -> Callable[..., None]:
    """Blocks of IQ4_NL from floats, likewise."""
    NBYTES, FIELDS, LOW, (FIRST, STEP, COUNT) = (
        fmt.block_nbytes, _fields(fmt), NUMBERS[0], TABLE_STRETCH
    )  # fmt: skip

    def quantize(x, importance, out, n_blocks, row_blocks, scratch):
        for block in range(0, n_blocks, LANES):
            n_here = min(LANES, n_blocks - block)
            gather(scratch, N, x, importance, block, n_here, row_blocks)
            weigh(scratch, N, importance)
            _by_table(scratch, LOW, FIRST, STEP, COUNT)
            _write(FIELDS, scratch, n_here, out + block * NBYTES)

    return quantize
