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
    get_integer,
    get_number,
    get_word,
    sub_integers,
)
from halfbyte.kernels.vectors.scalars import get_f16, put_f32
from halfbyte.kernels.vectors.simd import load_f16, store


@device
def _times_integer(AT, INTEGER, block, number, i):
    """A block's number times an integer of sub-block i, if the format has such integers."""
    if AT is None:
        return number
    return number * np.float32(get_integer(AT, INTEGER, block, i))


def _dequantizer(fmt: BlockFormat) -> Callable[..., None]:
    NBYTES, UNITS = fmt.block_nbytes, fmt.block_size // UNIT
    LOW, HIGH, OFFSET, IS_SIGNED = fmt.low, fmt.high, fmt.offset, fmt.bits == 8
    TABLE, IS_POWER = fmt.table or None, fmt.is_power
    LOW_PLANE, HIGH_PLANE = code_planes(fmt)
    (SCALE_AT, SCALE), (MINIMUM_AT, MINIMUM) = sub_integers(fmt)
    SUBS = UNIT // fmt.scales.size if fmt.scales else 1  # of a unit
    WORDS = 8 // SUBS
    HAS_ADDEND, IS_TAKEN = fmt.addend is not None, fmt.addend == "dmin"
    D_AT, M_AT = fmt.at(fmt.number), fmt.at(fmt.addend) if fmt.addend else 0

    def dequantize(blocks, out, n_blocks):
        for i in range(n_blocks):
            block = blocks + i * NBYTES
            d = get_number(IS_POWER, block + D_AT)
            m = get_f16(block + M_AT) if HAS_ADDEND else np.float32(0)
            for unit in range(UNITS):
                for part in range(SUBS):
                    scale = _times_integer(SCALE_AT, SCALE, block, d, unit * SUBS + part)
                    addend = _times_integer(MINIMUM_AT, MINIMUM, block, m, unit * SUBS + part)
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
    """Floats of a quantized type's blocks. Arguments: blocks, out, n_blocks."""
    return Kernel(_dequantizer(fmt), f"dequantize_{fmt.name.lower()}")
