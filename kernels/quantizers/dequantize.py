"""Blocks to the floats that they stand for, bit for bit as ggml's dequantize_row_* gives them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from halfbyte.kernels.compiler.jit import Kernel, device
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.codes import (
    UNIT,
    code_planes,
    code_value,
    finite_float8,
    float8,
    get_integer,
    get_number,
    get_word,
    sub_integers,
)
from halfbyte.kernels.formats.unfolding import ROOM, UNFOLD, read_block
from halfbyte.kernels.vectors.scalars import get_f16, put_f32, stack
from halfbyte.kernels.vectors.simd import load_f16, store


@device
def _times_integer(AT, INTEGER, IS_FLOAT, block, number, i):
    """A block's number times what sub-block i has, if the format has such scales or minima."""
    if AT is None:
        return number
    if IS_FLOAT:
        return number * float8(finite_float8(np.uint8(get_integer(AT, INTEGER, block, i))))
    return number * np.float32(get_integer(AT, INTEGER, block, i))


def _dequantizer(source: BlockFormat) -> Callable[..., None]:
    NBYTES, READ, fmt = source.block_nbytes, UNFOLD.get(source.name), source.plain or source
    UNITS = fmt.block_size // UNIT
    LOW, HIGH, OFFSET, IS_SIGNED = fmt.low, fmt.high, fmt.offset, fmt.bits == 8
    TABLE, IS_POWER = fmt.table or None, fmt.is_power
    LOW_PLANE, HIGH_PLANE = code_planes(fmt)
    (SCALE_AT, SCALE), (MINIMUM_AT, MINIMUM) = sub_integers(fmt)
    SUBS = UNIT // fmt.scales.size if fmt.scales else 1  # of a unit
    WORDS = 8 // SUBS
    HAS_ADDEND, IS_TAKEN = fmt.addend is not None, fmt.addend == "dmin"
    HAS_NUMBER, FACTOR = fmt.has_number, np.float32(fmt.factor)
    ARE_FLOATS = fmt.scales is not None and fmt.scales.are_floats
    D_AT = fmt.at(fmt.number) if HAS_NUMBER else 0
    M_AT = fmt.at(fmt.addend) if fmt.addend else 0

    def dequantize(blocks, out, n_blocks, book):
        room = stack(ROOM)
        for i in range(n_blocks):
            block = read_block(READ, blocks + i * NBYTES, room, book)
            d = get_number(IS_POWER, block + D_AT) * FACTOR if HAS_NUMBER else np.float32(1)
            m = get_f16(block + M_AT) if HAS_ADDEND else np.float32(0)
            for unit in range(UNITS):
                for part in range(SUBS):
                    sub = unit * SUBS + part
                    scale = _times_integer(SCALE_AT, SCALE, ARE_FLOATS, block, d, sub)
                    addend = _times_integer(MINIMUM_AT, MINIMUM, False, block, m, sub)
                    addend = -addend if IS_TAKEN else addend
                    for word in range(part * WORDS, (part + 1) * WORDS):
                        low = np.int64(get_word(LOW_PLANE, block, unit, word))
                        high = np.int64(get_word(HIGH_PLANE, block, unit, word)) if HIGH else 0
                        at = out + ((i * UNITS + unit) * UNIT + 4 * word) * 4
                        for byte in range(4):
                            q = low >> (8 * byte) & 255
                            if HIGH:
                                q |= (high >> (8 * byte) & 255) << LOW
                            if IS_SIGNED:
                                q = (q ^ 128) - 128
                            value = scale * np.float32(code_value(TABLE, OFFSET, q))
                            put_f32(at + 4 * byte, value + addend if HAS_ADDEND else value)

    return dequantize


def _widen(halves, out, n):
    for i in range(n // 16):
        store(out + 64 * i, load_f16(halves + 32 * i))
    for i in range(n // 16 * 16, n):
        put_f32(out + 4 * i, get_f16(halves + 2 * i))


@cache
def widener() -> Kernel:
    """Floats of half-precision numbers. Arguments: numbers, out, how many."""
    return Kernel(_widen, "widen_f16")


@cache
def dequantizer(fmt: BlockFormat) -> Kernel:
    """Floats of a quantized type's blocks. Arguments: blocks, out, n_blocks, its codebook."""
    return Kernel(_dequantizer(fmt), f"dequantize_{fmt.name.lower()}")
