"""Matrix products over packed panels: y[token] = W x[token], for decode and prefill alike.

A product works on a register tile of R panels x T tokens. Per block of 32 inputs, every lane (row)
of every tile cell gets an exact integer sum of products (dots.py), which one fused multiply-add
brings into the cell's float sum with the scale d * s; a minimum (Q4_1 and others) follows with a
second one. Types with a scale for 16 inputs do so for each half of the block. Blocks are walked in
ascending order with one sum per row and token. So a result depends on neither the tile nor the
number of tokens nor the ISA, which is what makes prefill, decode and batches agree bit for bit;
parallelism comes from more rows and tokens.

A kernel takes 11 integers:
    w, n_panels, n_units     packed matrix (panels.py)
    begin, end               strips (32 rows) to compute
    x, x_stride, n_tokens    activations (activations.py): bytes between blocks, or float rows
    y, y_stride              floats, y[token][row], bytes between tokens
    add                      0: overwrite y, else add to it
Where n_tokens is no multiple of the kernel's T, it reads up to T - 1 records or rows more, and
writes none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.jit import Kernel, device, kernel_maker
from halfbyte.kernels.layouts.activations import (
    RECORD_NBYTES,
)
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, SUPER, PanelFormat
from halfbyte.kernels.products.dots import (
    EXPANDED,
    NO_TABLE,
    PACKED,
    TILE_TOKENS,
    TILED,
    UNIT_NBYTES,
    configure_tiles,
    expand,
)
from halfbyte.kernels.products.float_product import float_product
from halfbyte.kernels.products.float_units import add_float_units
from halfbyte.kernels.products.power_units import add_power_units
from halfbyte.kernels.products.scaled_units import (
    add_q2_k_units,
    add_scaled_units,
    add_super_16_units,
    add_super_32_units,
)
from halfbyte.kernels.products.wide_units import ADD_WIDE_UNITS
from halfbyte.kernels.vectors.amx import release_tiles
from halfbyte.kernels.vectors.scalars import get_f32, stack
from halfbyte.kernels.vectors.simd import add as simd_add
from halfbyte.kernels.vectors.simd import load, store
from halfbyte.kernels.vectors.tiles import (
    load_tile,
    save_tile,
    store_tile,
    zeros,
)

WAYS = NARROW, VECTORS, MANY = "narrow", "vectors", "many"

# Units whose expanded codes, with the activations of 16 tokens, stay in the L1 cache; a multiple
# of the 8 units of a K type's block.
_EXPANDED = 32
# Bytes of codes that stay in the L1 cache while the activations of many tokens pass by.
_NEAR_NBYTES = 24 * 1024
_ALL = 1 << 40
_MAX_TOKENS = 256  # whose sums wait on the stack meanwhile


def ways(name: str) -> tuple[str, ...]:
    """The kernels that a format has on this ISA, for ever more tokens at once.

    NARROW takes one or two tokens at a time, VECTORS as many as fit the ISA's register tile. MANY
    expands the codes first, for AMX's tiles or for vectors. Where codes are bytes already, vectors
    gain by it only if their tile for few tokens is another, which reads activations more often.
    """
    fmt, isa = PANEL_FORMATS[name], target.current()
    n_tokens = isa.tile[1]
    by_vectors = n_tokens > 1 and (fmt.blocks.low < 8 or isa.dot_tile[:2] != isa.tile)
    gains = fmt.is_quantized and (_has_tiles() or by_vectors)
    return (NARROW, *([VECTORS] if n_tokens > 1 else []), *([MANY] if gains else []))


def tile_tokens(way: str) -> int:
    """How many tokens a kernel takes at a time, at least."""
    if way == NARROW:
        return 1
    return TILE_TOKENS if way == MANY and _has_tiles() else target.current().dot_tile[2]


def narrow_tokens(name: str) -> int:
    """How many tokens NARROW takes at once: two, unless VECTORS has a tile for as few."""
    takes_two = PANEL_FORMATS[name].is_quantized and target.current().dot_tile[2] > 2
    return 2 if takes_two else 1


def many_tokens(name: str) -> tuple[int, int]:
    """How many tokens MANY is given at a time; how many may lack and it still takes less time."""
    if _has_tiles():
        return TILE_TOKENS, 3
    fmt = PANEL_FORMATS[name]
    # Taking nibbles apart costs vectors next to nothing: it takes many tokens to spare that.
    is_plain = (fmt.source.low, fmt.source.high) == (4, 0) and not fmt.is_super
    return (128 if is_plain else 32), 0


def _has_tiles() -> bool:
    return target.current().name == "amx"


@kernel_maker
def matmul_kernel(name: str, way: str) -> Kernel:
    """The product for a panel format in one of its `ways`."""
    fmt, isa = PANEL_FORMATS[name], target.current()
    # One or two tokens wait for memory, which is fastest where it is read front to back.
    if not fmt.is_quantized:
        function = float_product(fmt, *((1, 1) if way == NARROW else isa.tile))
    elif way == MANY and _has_tiles():
        function = _in_tiles(fmt)
    else:
        tiles = {
            NARROW: (1, narrow_tokens(name), 1),
            VECTORS: isa.dot_tile,
            MANY: (*isa.tile, isa.tile[1]),
        }
        is_expanded = way == MANY and fmt.blocks.low < 8
        function = _in_vectors(fmt, *tiles[way], EXPANDED if is_expanded else PACKED)
    return Kernel(function, f"matmul_{fmt.kernel_name}_{way}")


# --- what a tile adds up ----------------------------------------------------------------------


def _adder(fmt: PanelFormat) -> Callable[..., object]:
    """The function that knows a format's scales: of scaled_units.py and its like."""
    if not fmt.is_super:
        if fmt.block_units > 1:
            return ADD_WIDE_UNITS[fmt.block_units]
        return add_power_units if fmt.blocks.is_power else add_scaled_units
    if fmt.has_factor:
        return add_float_units
    if fmt.n_subs == 1:
        return add_super_32_units
    return add_q2_k_units if fmt.shares_bytes else add_super_16_units


def _constants(fmt: PanelFormat) -> tuple[Any, ...]:
    """That function and what it takes of a format."""
    blocks = fmt.blocks
    table = blocks.ggml_id if blocks.table else NO_TABLE
    return _adder(fmt), blocks.low, blocks.high, table, blocks.bias, int(fmt.has_minima)


def _factor(fmt: PanelFormat) -> float | None:
    """What all numbers are multiplied by; None: the matrix knows."""
    return None if fmt.has_factor else fmt.blocks.factor


@device
def _find_parts(PARTS, FACTOR, w, n):
    """Where a matrix of n units has its scales, minima, d and -dmin, and that factor."""
    factor = get_f32(w + n * PARTS[4]) if FACTOR is None else FACTOR
    return w + n * PARTS[0], w + n * PARTS[1], w + n * PARTS[2], w + n * PARTS[3], factor


# --- the loops over tiles ---------------------------------------------------------------------


def _tile_of(fmt: PanelFormat, R: int, T: int, WAY: int) -> Callable[..., None]:
    """Add some units of R panels and T tokens to the sums that wait; the last ones go to y."""
    ADD_UNITS, LOW, HIGH, TABLE, OFFSET, HAS_MINIMA = _constants(fmt)
    NBYTES = UNIT_NBYTES if WAY == EXPANDED else 64 * fmt.bits

    def add_tile(first, last, at, n_units, parts, codes, stride, x, x_stride, waiting, y, y_stride,
                 add, n_tokens):  # fmt: skip
        acc = zeros(R, T)
        if first > 0:
            acc = load_tile(waiting, 64 * T, 64, R, T)
        acc = ADD_UNITS(acc, first, last, at, n_units, parts, codes, stride, x, x_stride, NBYTES,
                        LOW, HIGH, TABLE, OFFSET, HAS_MINIMA, WAY, R, T)  # fmt: skip
        if last < n_units:
            save_tile(acc, waiting, 64 * T, 64, R, T)
        else:
            store_tile(acc, y, 64, y_stride, add, n_tokens, R, T)

    add_tile.__qualname__ = f"add_tile_{fmt.kernel_name}_{R}_{T}_{WAY}"
    return device(add_tile)


def _in_vectors(fmt: PanelFormat, R: int, T: int, FEWER: int, WAY: int) -> Callable[..., None]:
    """Panels R at a time, tokens T at a time, or FEWER: some units meet all, then the next units.

    Meanwhile the float sums wait on the stack, for _MAX_TOKENS tokens at a time. Where FEWER is 1,
    there are one or two tokens, which meet all units at once.
    """
    _, LOW, HIGH, TABLE, _, _ = _constants(fmt)
    ADD_TILE, ADD_FEWER = _tile_of(fmt, R, T, WAY), _tile_of(fmt, R, FEWER, WAY)
    NBYTES, PARTS, FACTOR = 64 * fmt.bits, fmt.parts, _factor(fmt)
    CODES_NBYTES = NBYTES if WAY == PACKED else UNIT_NBYTES
    AT_ONCE = _NEAR_NBYTES // (R * CODES_NBYTES) // SUPER * SUPER if FEWER > 1 else _ALL
    SUM_NBYTES, SUMS_NBYTES = 64 * R, 64 * R * _MAX_TOKENS

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        parts = _find_parts(PARTS, FACTOR, w, n_panels * n_units)
        expanded, waiting = stack(_NEAR_NBYTES), stack(SUMS_NBYTES)
        for tokens in range(0, n_tokens, _MAX_TOKENS):
            tokens_end = min(tokens + _MAX_TOKENS, n_tokens)
            for panel in range(2 * begin, 2 * end, R):
                at = panel * n_units
                for first in range(0, n_units, AT_ONCE):
                    last = min(first + AT_ONCE, n_units)
                    codes, stride = w, n_units * NBYTES
                    if WAY == EXPANDED:
                        codes, stride = expanded - (at + first) * UNIT_NBYTES, AT_ONCE * UNIT_NBYTES
                        for i in range(R):
                            for unit in range(first, last):
                                expand(w + (at + i * n_units + unit) * NBYTES, LOW, HIGH, TABLE, 0,
                                       codes + (at + unit) * UNIT_NBYTES + i * stride)  # fmt: skip
                    token = tokens
                    while token < tokens_end:
                        left, records = tokens_end - token, x + token * RECORD_NBYTES
                        kept = waiting + (token - tokens) * SUM_NBYTES
                        to = y + panel * 64 + token * y_stride
                        if T > FEWER and left > FEWER:
                            ADD_TILE(first, last, at, n_units, parts, codes, stride, records,
                                     x_stride, kept, to, y_stride, add, left)  # fmt: skip
                            token += T
                        else:
                            ADD_FEWER(first, last, at, n_units, parts, codes, stride, records,
                                      x_stride, kept, to, y_stride, add, left)  # fmt: skip
                            token += FEWER

    return matmul


def _in_tiles(fmt: PanelFormat) -> Callable[..., None]:
    """The same with AMX's tiles, a panel at a time."""
    ADD_UNITS, LOW, HIGH, TABLE, OFFSET, HAS_MINIMA = _constants(fmt)
    NBYTES, PARTS, FACTOR = 64 * fmt.bits, fmt.parts, _factor(fmt)
    T, EXPANDED_NBYTES, SUMS_NBYTES = TILE_TOKENS, _EXPANDED * UNIT_NBYTES, 64 * _MAX_TOKENS

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        parts = _find_parts(PARTS, FACTOR, w, n_panels * n_units)
        expanded, waiting = stack(EXPANDED_NBYTES), stack(SUMS_NBYTES)
        configure_tiles()
        for tokens in range(0, n_tokens, _MAX_TOKENS):
            tokens_end = min(tokens + _MAX_TOKENS, n_tokens)
            for panel in range(2 * begin, 2 * end):
                at = panel * n_units
                for first in range(0, n_units, _EXPANDED):
                    last = min(first + _EXPANDED, n_units)
                    codes = w
                    if LOW < 8:
                        codes = expanded - (at + first) * UNIT_NBYTES
                        for unit in range(first, last):
                            expand(w + (at + unit) * NBYTES, LOW, HIGH, TABLE, OFFSET,
                                   codes + (at + unit) * UNIT_NBYTES)  # fmt: skip
                    for token in range(tokens, tokens_end, T):
                        kept = waiting + 64 * (token - tokens)
                        acc = zeros(1, T)
                        if first > 0:
                            acc = load_tile(kept, 0, 64, 1, T)
                        acc = ADD_UNITS(acc, first, last, at, n_units, parts, codes, 0,
                                        x + token * RECORD_NBYTES, x_stride, UNIT_NBYTES, LOW,
                                        HIGH, TABLE, OFFSET, HAS_MINIMA, TILED, 1, T)  # fmt: skip
                        save_tile(acc, kept, 0, 64, 1, T)
                for token in range(tokens, tokens_end):
                    sums, out = load(waiting + 64 * (token - tokens)), y + panel * 64
                    if add != 0:
                        sums = simd_add(load(out + token * y_stride), sums)
                    store(out + token * y_stride, sums)
        release_tiles()

    return matmul
