"""Products in bf16: y[token] = W x[token], where both are rounded to bf16 and summed in float32.

Nothing is scaled between the products: weights are expanded to bf16 (bf16_weights.py), some blocks
of 32 inputs of two panels at a time, and meet all tokens while they lie in the nearest cache. Of a
row and a token, a block gives one float (bf16.py), and blocks are added in ascending order to one
sum. So a result depends on neither the number of tokens nor the ISA, as in matmul.py, whose
arguments these kernels have: x are records of 32 inputs in bf16 (activations.py). There is one
kernel for any number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.jit import Kernel, device, kernel_maker
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, PanelFormat
from halfbyte.kernels.products.bf16_weights import UNIT_NBYTES, expansion
from halfbyte.kernels.vectors.amx import (
    TILE_NBYTES,
    TILE_ROWS,
    add_bf16_tiles,
    configure_whole_tiles,
    load_whole_tile,
    release_tiles,
    store_whole_tile,
    zero_tile,
)
from halfbyte.kernels.vectors.bf16 import BLOCK_NBYTES, INPUTS, add_block, has_tiles
from halfbyte.kernels.vectors.scalars import stack
from halfbyte.kernels.vectors.simd import add as simd_add
from halfbyte.kernels.vectors.simd import load, store
from halfbyte.kernels.vectors.tiles import load_tile, save_tile, store_tile, zeros

_AT_ONCE = 8  # blocks of a panel, 8 KB, of which two panels' stay in the L1 cache
_IN_TILES_AT_ONCE = 16  # the L1 cache of CPUs with AMX has 48 KB
_MAX_TOKENS = 256  # whose sums wait on the stack meanwhile


class TileOperations(NamedTuple):
    """What AMX does, each a helper or an intrinsic of amx.py: tests have others in their places."""

    configure: Callable[..., None] = configure_whole_tiles
    release: Callable[..., None] = release_tiles
    zero: Callable[..., None] = zero_tile
    load: Callable[..., None] = load_whole_tile
    store: Callable[..., None] = store_whole_tile
    add: Callable[..., None] = add_bf16_tiles


@kernel_maker
def bf16_kernel(name: str) -> Kernel:
    """The product for a panel format that `takes_bf16`."""
    fmt = PANEL_FORMATS[name]
    function = in_tiles(fmt, TileOperations()) if has_tiles() else _in_vectors(fmt)
    return Kernel(function, f"bf16_{fmt.kernel_name}")


def takes_bf16(fmt: PanelFormat) -> bool:
    """Whether a matrix of a format is multiplied in bf16, where that is asked for: not of F32."""
    return fmt.name != "F32"


@device
def _n_blocks(n_units, PER_UNIT):
    """Blocks of 32 inputs of a row of n units."""
    return (n_units * PER_UNIT + INPUTS - 1) // INPUTS


def _inputs_per_unit(fmt: PanelFormat) -> int:
    return INPUTS if fmt.is_quantized else 1


# --- vectors ------------------------------------------------------------------------------------


@device
def _multiply(n, is_first, is_last, codes, x, x_stride, kept, y, y_stride, add, R, T):
    """n blocks of R panels and T tokens, whose sums lie at `kept` before the last ones."""
    acc = zeros(R, T)
    if not is_first:
        acc = load_tile(kept, 64 * T, 64, R, T)
    for i in range(n):
        acc = add_block(acc, codes + i * UNIT_NBYTES, _AT_ONCE * UNIT_NBYTES, x + i * x_stride, T)
    if is_last:
        store_tile(acc, y, 64, y_stride, add, T, R, T)
    else:
        save_tile(acc, kept, 64 * T, 64, R, T)


def _in_vectors(fmt: PanelFormat) -> Callable[..., None]:
    EXPAND, PER_UNIT, (R, T) = expansion(fmt, tiled=False), _inputs_per_unit(fmt), _tile()
    EXPANDED_NBYTES, SUM_NBYTES, SUMS_NBYTES = (
        R * _AT_ONCE * UNIT_NBYTES, 64 * R, 64 * R * _MAX_TOKENS,
    )  # fmt: skip

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        codes, waiting, n = stack(EXPANDED_NBYTES), stack(SUMS_NBYTES), _n_blocks(n_units, PER_UNIT)
        for tokens in range(0, n_tokens, _MAX_TOKENS):
            tokens_end = min(tokens + _MAX_TOKENS, n_tokens)
            alone = tokens_end - (tokens_end - tokens) % T
            for panel in range(2 * begin, 2 * end, R):
                for first in range(0, n, _AT_ONCE):
                    last = min(first + _AT_ONCE, n)
                    for i in range(R):
                        EXPAND(w, n_panels, n_units, panel + i, first, last,
                               codes + i * _AT_ONCE * UNIT_NBYTES)  # fmt: skip
                    at, out = x + first * x_stride, y + panel * 64
                    for token in range(tokens, alone, T):
                        _multiply(last - first, first == 0, last == n, codes,
                                  at + token * BLOCK_NBYTES, x_stride,
                                  waiting + (token - tokens) * SUM_NBYTES, out + token * y_stride,
                                  y_stride, add, R, T)  # fmt: skip
                    for token in range(alone, tokens_end):
                        _multiply(last - first, first == 0, last == n, codes,
                                  at + token * BLOCK_NBYTES, x_stride,
                                  waiting + (token - tokens) * SUM_NBYTES, out + token * y_stride,
                                  y_stride, add, R, 1)  # fmt: skip

    return matmul


def _tile() -> tuple[int, int]:
    """Panels and tokens at a time."""
    return target.current().tile


# --- AMX's tiles --------------------------------------------------------------------------------
# Sums of 2 panels x 32 tokens are tiles 0 to 3, as [tokens][panel]; 4 and 5 are tokens, 6 and 7
# weights. Less than 17 tokens take half of them.


def in_tiles(fmt: PanelFormat, operations: TileOperations) -> Callable[..., None]:
    """The product that AMX makes, or whatever takes its operations' places."""
    CONFIGURE, RELEASE, ZERO, LOAD, STORE, ADD = operations
    EXPAND, PER_UNIT, T = expansion(fmt, tiled=True), _inputs_per_unit(fmt), TILE_ROWS
    PANEL_NBYTES = _IN_TILES_AT_ONCE * UNIT_NBYTES
    EXPANDED_NBYTES, SUMS_NBYTES = 2 * PANEL_NBYTES, 2 * 64 * _MAX_TOKENS

    def matmul(w, n_panels, n_units, begin, end, x, x_stride, n_tokens, y, y_stride, add):
        codes, waiting, n = stack(EXPANDED_NBYTES), stack(SUMS_NBYTES), _n_blocks(n_units, PER_UNIT)
        CONFIGURE()
        for tokens in range(0, n_tokens, _MAX_TOKENS):
            tokens_end = min(tokens + _MAX_TOKENS, n_tokens)
            for panel in range(2 * begin, 2 * end, 2):
                for first in range(0, n, _IN_TILES_AT_ONCE):
                    last = min(first + _IN_TILES_AT_ONCE, n)
                    for i in range(2):
                        EXPAND(w, n_panels, n_units, panel + i, first, last,
                               codes + i * PANEL_NBYTES)  # fmt: skip
                    for token in range(tokens, tokens_end, 2 * T):
                        kept, is_wide = waiting + (token - tokens) * 128, tokens_end - token > T
                        if first == 0:
                            ZERO(0)
                            ZERO(1)
                            ZERO(2)
                            ZERO(3)
                        else:
                            LOAD(0, kept)
                            LOAD(1, kept + TILE_NBYTES)
                            LOAD(2, kept + 2 * TILE_NBYTES)
                            LOAD(3, kept + 3 * TILE_NBYTES)
                        for i in range(last - first):
                            at = x + (first + i) * x_stride + token * BLOCK_NBYTES
                            LOAD(6, codes + i * UNIT_NBYTES)
                            LOAD(7, codes + PANEL_NBYTES + i * UNIT_NBYTES)
                            LOAD(4, at)
                            ADD(0, 4, 6)
                            ADD(1, 4, 7)
                            if is_wide:
                                LOAD(5, at + TILE_NBYTES)
                                ADD(2, 5, 6)
                                ADD(3, 5, 7)
                        STORE(0, kept)
                        STORE(1, kept + TILE_NBYTES)
                        STORE(2, kept + 2 * TILE_NBYTES)
                        STORE(3, kept + 3 * TILE_NBYTES)
                for token in range(tokens, tokens_end):
                    _put(waiting, token - tokens, y + panel * 64 + token * y_stride, add)
        RELEASE()

    return matmul


@device
def _put(waiting, token, y, add):
    """A token's sums of two panels, from its tiles' rows."""
    kept = waiting + token // TILE_ROWS * 2 * TILE_NBYTES + token % TILE_ROWS * 64
    for panel in range(2):
        sums = load(kept + panel * TILE_NBYTES)
        if add != 0:
            sums = simd_add(load(y + panel * 64), sums)
        store(y + panel * 64, sums)
