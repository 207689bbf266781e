"""Matrix products over packed panels: y[token] = W x[token], for decode and prefill alike.

A product works on a register tile of R panels x T tokens. Per block of 32 inputs, every lane (row)
of every tile cell adds up exact integer products in a 32-bit sum, which one fused multiply-add
then brings into the cell's float sum with the scale d * s; a minimum (Q4_1) follows with a second
one. Blocks are walked in ascending order with one sum per row and token. So a result depends on
neither the tile nor the number of tokens, which is what makes prefill, decode and batches agree
bit for bit; parallelism comes from more rows and tokens.

A constant offset of the codes (8 in Q4_0, 128 where the ISA's dot product wants unsigned weights)
is folded into the integer sum's start by the activations' own sum.

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
from .activations import RECORD_NBYTES, SCALE_AT, SUM_AT
from .jit import Kernel
from .panels import PANEL_FORMATS, PanelFormat
from .tiles import (
    add_minima,
    add_outer,
    add_scaled,
    dot,
    dot_signed,
    dot_start,
    high_nibbles,
    load_codes,
    load_column,
    load_column_bf16,
    load_column_f16,
    low_nibbles,
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
    make = {0: _floats, 4: _nibbles, 8: _bytes}[fmt.bits]
    function = make(fmt, n_panels, n_tokens)
    return Kernel(function, N_ARGS, f"matmul_{name}_{n_panels}x{n_tokens}")


def _nibbles(fmt: PanelFormat, R: int, T: int) -> Callable[..., None]:
    OFFSET, HAS_MINIMA = fmt.offset, fmt.has_minima

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        scales = w + n_panels * n_units * 256
        minima = scales + n_panels * n_units * 32
        for panel in range(2 * begin, 2 * end, R):
            at = panel * n_units
            for token in range(0, n_tokens, T):
                acc = zeros(R, T)
                for unit in range(n_units):
                    block = at + unit
                    record = x + unit * x_stride + token * RECORD_NBYTES
                    sums = dot_start(record + SUM_AT, RECORD_NBYTES, OFFSET, R, T)
                    for j in range(4):
                        codes = load_codes(w + block * 256 + 64 * j, n_units * 256, R)
                        sums = dot(sums, low_nibbles(codes), record + 4 * j, RECORD_NBYTES)
                        sums = dot(sums, high_nibbles(codes), record + 16 + 4 * j, RECORD_NBYTES)
                    acc = add_scaled(acc, sums, scales + block * 32, n_units * 32,
                                     record + SCALE_AT, RECORD_NBYTES, R, T)  # fmt: skip
                    if HAS_MINIMA:
                        acc = add_minima(acc, minima + block * 32, n_units * 32, record + SCALE_AT,
                                         record + SUM_AT, RECORD_NBYTES, R, T)  # fmt: skip
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
                    acc = add_scaled(acc, sums, scales + block * 32, n_units * 32,
                                     record + SCALE_AT, RECORD_NBYTES, R, T)  # fmt: skip
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
