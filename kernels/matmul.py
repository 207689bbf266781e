"""Matrix products over packed panels: y[token] = W x[token], for decode and prefill alike.

A product works on a register tile of R panels x T tokens. Per block of 32 inputs, every lane (row)
of every tile cell adds up exact integer products in a 32-bit sum, which one fused multiply-add
then brings into the cell's float sum with the scale d * s; a minimum (Q4_1 and others) follows
with a second one. Types with a scale for 16 inputs do so for each half of the block. Blocks are
walked in ascending order with one sum per row and token. So a result depends on neither the tile
nor the number of tokens, which is what makes prefill, decode and batches agree bit for bit;
parallelism comes from more rows and tokens.

A constant offset of the codes (8 in Q4_0, 32 in Q6_K, 128 where the ISA's dot product wants
unsigned weights) is folded into the integer sum's start by the activations' own sum.

A kernel takes 11 integers:
    w, n_panels, n_units     packed matrix (panels.py)
    begin, end               strips (32 rows) to compute
    x, x_stride, n_tokens    activations (activations.py): bytes between blocks, or float rows
    y, y_stride              floats, y[token][row], bytes between tokens
    add                      0: overwrite y, else add to it
n_tokens is a multiple of the kernel's T.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from . import target
from .activations import HALF_AT, RECORD_NBYTES, SCALE_AT, SUM_AT
from .jit import Kernel, device
from .panels import PANEL_FORMATS, PanelFormat
from .simd import mul
from .tiles import (
    add_minima,
    add_minima_rest,
    add_outer,
    add_scaled,
    dot,
    dot_signed,
    dot_start,
    dot_start_rest,
    load_codes,
    load_codes_of,
    load_column,
    load_column_bf16,
    load_column_f16,
    load_column_high,
    load_column_i8,
    load_column_low,
    signed_offset,
    store_tile,
    zeros,
)

N_ARGS = 11


def tile_tokens() -> int:
    """How many tokens the wide tile of this ISA takes."""
    return target.current().tile[1]


@cache
def matmul_kernel(name: str, n_tokens: int) -> Kernel:
    """The product for a panel format with a tile of `n_tokens` (1 or `tile_tokens()`)."""
    fmt = PANEL_FORMATS[name]
    n_panels = target.current().tile[0]
    function = _maker(fmt)(fmt, n_panels, n_tokens)
    return Kernel(function, N_ARGS, f"matmul_{name}_{n_panels}x{n_tokens}")


def _maker(fmt: PanelFormat) -> Callable[[PanelFormat, int, int], Callable[..., None]]:
    if fmt.low in (0, 8):
        return _bytes if fmt.low else _floats
    if not fmt.is_super:
        return _plain
    if fmt.n_subs == 1:
        return _super_32
    return _q2_k if fmt.has_minima else _super_16


@device
def _dot_first(LOW, HIGH, sums, w, stride, record, R):
    """The first 16 inputs of a unit."""
    sums = dot(sums, load_codes_of(w, stride, LOW, HIGH, 0, R), record, RECORD_NBYTES)
    sums = dot(sums, load_codes_of(w, stride, LOW, HIGH, 1, R), record + 4, RECORD_NBYTES)
    sums = dot(sums, load_codes_of(w, stride, LOW, HIGH, 2, R), record + 8, RECORD_NBYTES)
    return dot(sums, load_codes_of(w, stride, LOW, HIGH, 3, R), record + 12, RECORD_NBYTES)


@device
def _dot_second(LOW, HIGH, sums, w, stride, record, R):
    """The last 16 inputs of a unit."""
    sums = dot(sums, load_codes_of(w, stride, LOW, HIGH, 4, R), record + 16, RECORD_NBYTES)
    sums = dot(sums, load_codes_of(w, stride, LOW, HIGH, 5, R), record + 20, RECORD_NBYTES)
    sums = dot(sums, load_codes_of(w, stride, LOW, HIGH, 6, R), record + 24, RECORD_NBYTES)
    return dot(sums, load_codes_of(w, stride, LOW, HIGH, 7, R), record + 28, RECORD_NBYTES)


def _plain(fmt: PanelFormat, R: int, T: int) -> Callable[..., None]:
    """One scale, and perhaps one minimum, for a unit: Q4_0, Q4_1, Q5_0, Q5_1."""
    LOW, HIGH, OFFSET, HAS_MINIMA = fmt.low, fmt.high, fmt.offset, fmt.has_minima
    CODES, SCALES, MINIMA = 64 * fmt.bits, *fmt.parts[:2]

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        scales, minima = w + n_panels * n_units * SCALES, w + n_panels * n_units * MINIMA
        for panel in range(2 * begin, 2 * end, R):
            for token in range(0, n_tokens, T):
                acc = zeros(R, T)
                for unit in range(n_units):
                    at = panel * n_units + unit
                    record = x + unit * x_stride + token * RECORD_NBYTES
                    codes, stride = w + at * CODES, n_units * CODES
                    sums = dot_start(record + SUM_AT, RECORD_NBYTES, OFFSET, R, T)
                    sums = _dot_first(LOW, HIGH, sums, codes, stride, record, R)
                    sums = _dot_second(LOW, HIGH, sums, codes, stride, record, R)
                    d = load_column_f16(scales + at * 32, n_units * 32, R)
                    acc = add_scaled(acc, sums, d, record + SCALE_AT, RECORD_NBYTES, T)
                    if HAS_MINIMA:
                        m = load_column_f16(minima + at * 32, n_units * 32, R)
                        acc = add_minima(acc, m, record + SCALE_AT, record + SUM_AT,
                                         RECORD_NBYTES, T)  # fmt: skip
                store_tile(acc, y + panel * 64 + token * y_stride, 64, y_stride, add, R, T)

    return matmul


def _super_32(fmt: PanelFormat, R: int, T: int) -> Callable[..., None]:
    """A scale and a minimum for a unit, multiples of two numbers for 8 units: Q4_K, Q5_K."""
    LOW, HIGH, CODES = fmt.low, fmt.high, 64 * fmt.bits
    SCALES, MINIMA, D, DMIN, _ = fmt.parts

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        n, n_blocks = n_panels * n_units, n_units // 8
        scales, minima, super_d, super_m = w + n * SCALES, w + n * MINIMA, w + n * D, w + n * DMIN
        for panel in range(2 * begin, 2 * end, R):
            for token in range(0, n_tokens, T):
                acc = zeros(R, T)
                for block in range(n_blocks):
                    half = (panel * n_blocks + block) * 32
                    d = load_column_f16(super_d + half, n_blocks * 32, R)
                    m = load_column_f16(super_m + half, n_blocks * 32, R)
                    for unit in range(8 * block, 8 * block + 8):
                        at = panel * n_units + unit
                        record = x + unit * x_stride + token * RECORD_NBYTES
                        codes, stride = w + at * CODES, n_units * CODES
                        sums = dot_start(record + SUM_AT, RECORD_NBYTES, 0, R, T)
                        sums = _dot_first(LOW, HIGH, sums, codes, stride, record, R)
                        sums = _dot_second(LOW, HIGH, sums, codes, stride, record, R)
                        factor = mul(d, load_column_i8(scales + at * 16, n_units * 16, R))
                        acc = add_scaled(acc, sums, factor, record + SCALE_AT, RECORD_NBYTES, T)
                        addend = mul(m, load_column_i8(minima + at * 16, n_units * 16, R))
                        acc = add_minima(acc, addend, record + SCALE_AT, record + SUM_AT,
                                         RECORD_NBYTES, T)  # fmt: skip
                store_tile(acc, y + panel * 64 + token * y_stride, 64, y_stride, add, R, T)

    return matmul


def _super_16(fmt: PanelFormat, R: int, T: int) -> Callable[..., None]:
    """Two scales for a unit, multiples of a number for 8 units: Q3_K, Q6_K."""
    LOW, HIGH, OFFSET, CODES = fmt.low, fmt.high, fmt.offset, 64 * fmt.bits
    SCALES, _, D, _, _ = fmt.parts

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        n, n_blocks = n_panels * n_units, n_units // 8
        scales, super_d = w + n * SCALES, w + n * D
        for panel in range(2 * begin, 2 * end, R):
            for token in range(0, n_tokens, T):
                acc = zeros(R, T)
                for block in range(n_blocks):
                    d = load_column_f16(super_d + (panel * n_blocks + block) * 32, n_blocks * 32, R)
                    for unit in range(8 * block, 8 * block + 8):
                        at = panel * n_units + unit
                        record = x + unit * x_stride + token * RECORD_NBYTES
                        codes, stride = w + at * CODES, n_units * CODES
                        sums = dot_start(record + HALF_AT, RECORD_NBYTES, OFFSET, R, T)
                        sums = _dot_first(LOW, HIGH, sums, codes, stride, record, R)
                        factor = mul(d, load_column_i8(scales + at * 32, n_units * 32, R))
                        acc = add_scaled(acc, sums, factor, record + SCALE_AT, RECORD_NBYTES, T)
                        sums = dot_start_rest(record + SUM_AT, record + HALF_AT, RECORD_NBYTES,
                                              OFFSET, R, T)  # fmt: skip
                        sums = _dot_second(LOW, HIGH, sums, codes, stride, record, R)
                        factor = mul(d, load_column_i8(scales + at * 32 + 16, n_units * 32, R))
                        acc = add_scaled(acc, sums, factor, record + SCALE_AT, RECORD_NBYTES, T)
                store_tile(acc, y + panel * 64 + token * y_stride, 64, y_stride, add, R, T)

    return matmul


def _q2_k(fmt: PanelFormat, R: int, T: int) -> Callable[..., None]:
    """Two scales and two minima for a unit, 4 bits each in one byte."""
    CODES = 64 * fmt.bits
    SCALES, _, D, DMIN, _ = fmt.parts

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        n, n_blocks = n_panels * n_units, n_units // 8
        scales, super_d, super_m = w + n * SCALES, w + n * D, w + n * DMIN
        for panel in range(2 * begin, 2 * end, R):
            for token in range(0, n_tokens, T):
                acc = zeros(R, T)
                for block in range(n_blocks):
                    half = (panel * n_blocks + block) * 32
                    d = load_column_f16(super_d + half, n_blocks * 32, R)
                    m = load_column_f16(super_m + half, n_blocks * 32, R)
                    for unit in range(8 * block, 8 * block + 8):
                        at = panel * n_units + unit
                        record = x + unit * x_stride + token * RECORD_NBYTES
                        codes, stride = w + at * CODES, n_units * CODES
                        both, next_both = scales + at * 32, scales + at * 32 + 16
                        sums = dot_start(record + HALF_AT, RECORD_NBYTES, 0, R, T)
                        sums = _dot_first(2, 0, sums, codes, stride, record, R)
                        factor = mul(d, load_column_low(both, n_units * 32, R))
                        acc = add_scaled(acc, sums, factor, record + SCALE_AT, RECORD_NBYTES, T)
                        addend = mul(m, load_column_high(both, n_units * 32, R))
                        acc = add_minima(acc, addend, record + SCALE_AT, record + HALF_AT,
                                         RECORD_NBYTES, T)  # fmt: skip
                        sums = dot_start(record + HALF_AT, RECORD_NBYTES, 0, R, T)
                        sums = _dot_second(2, 0, sums, codes, stride, record, R)
                        factor = mul(d, load_column_low(next_both, n_units * 32, R))
                        acc = add_scaled(acc, sums, factor, record + SCALE_AT, RECORD_NBYTES, T)
                        addend = mul(m, load_column_high(next_both, n_units * 32, R))
                        acc = add_minima_rest(acc, addend, record + SCALE_AT, record + SUM_AT,
                                              record + HALF_AT, RECORD_NBYTES, T)  # fmt: skip
                store_tile(acc, y + panel * 64 + token * y_stride, 64, y_stride, add, R, T)

    return matmul


def _bytes(fmt: PanelFormat, R: int, T: int) -> Callable[..., None]:
    OFFSET = signed_offset()

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        scales = w + n_panels * n_units * 512
        for panel in range(2 * begin, 2 * end, R):
            at = panel * n_units
            for token in range(0, n_tokens, T):
                acc = zeros(R, T)
                for unit in range(n_units):
                    block = at + unit
                    record = x + unit * x_stride + token * RECORD_NBYTES
                    sums = dot_start(record + SUM_AT, RECORD_NBYTES, OFFSET, R, T)
                    for j in range(8):
                        codes = load_codes(w + block * 512 + 64 * j, n_units * 512, R)
                        sums = dot_signed(sums, codes, record + 4 * j, RECORD_NBYTES)
                    d = load_column_f16(scales + block * 32, n_units * 32, R)
                    acc = add_scaled(acc, sums, d, record + SCALE_AT, RECORD_NBYTES, T)
                store_tile(acc, y + panel * 64 + token * y_stride, 64, y_stride, add, R, T)

    return matmul


def _floats(fmt: PanelFormat, R: int, T: int) -> Callable[..., None]:
    KIND, NBYTES = ("F32", "F16", "BF16").index(fmt.name), 16 * fmt.source.block_nbytes

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        for panel in range(2 * begin, 2 * end, R):
            for token in range(0, n_tokens, T):
                acc = zeros(R, T)
                for k in range(n_units):
                    at = w + (panel * n_units + k) * NBYTES
                    if KIND == 0:
                        column = load_column(at, n_units * NBYTES, R)
                    elif KIND == 1:
                        column = load_column_f16(at, n_units * NBYTES, R)
                    else:
                        column = load_column_bf16(at, n_units * NBYTES, R)
                    acc = add_outer(acc, column, x + token * x_stride + 4 * k, x_stride, T)
                store_tile(acc, y + panel * 64 + token * y_stride, 64, y_stride, add, R, T)

    return matmul
