"""Blocks to the floats that they stand for, bit for bit as ggml's dequantize_row_* gives them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from halfbyte.kernels.compiler.jit import Kernel, device
from halfbyte.kernels.formats.block_format import FORMATS
from halfbyte.kernels.formats.codes import (
    NAMES,
    Q2_K,
    Q3_K,
    Q4_0,
    Q4_K,
    Q5_0,
    Q5_1,
    Q5_K,
    Q6_K,
    Q8_0,
    high_word,
    low_word,
    offset_of,
    sub_minimum,
    sub_scale,
)
from halfbyte.kernels.vectors.scalars import get_f16, put_f32
from halfbyte.kernels.vectors.simd import load_f16, store

N_ARGS = 3
UNIT = 32
_D_AT = tuple(offset_of(name, "d") for name in NAMES)
_HIGH_SHIFT = {Q5_0: 4, Q5_1: 4, Q5_K: 4, Q6_K: 4, Q3_K: 2}
_SHIFT = tuple(_HIGH_SHIFT.get(kind, 0) for kind in range(len(NAMES)))
_OFFSET = tuple({Q4_0: 8, Q5_0: 16, Q3_K: 4, Q6_K: 32}.get(kind, 0) for kind in range(len(NAMES)))
# Where the number lies that is added (m) or taken (dmin), if there is one.
_ADDED = {"Q4_1": "m", "Q5_1": "m", "Q2_K": "dmin", "Q4_K": "dmin", "Q5_K": "dmin"}
_M_AT = tuple(offset_of(name, _ADDED[name]) if name in _ADDED else -1 for name in NAMES)


@device
def _scale(KIND, block, d, i):
    """The float scale of sub-block i."""
    if KIND == Q2_K:
        return d * np.float32(np.int64(sub_scale(KIND, block, i)) & 15)
    if KIND == Q3_K or KIND == Q6_K:
        return d * np.float32(np.int8(sub_scale(KIND, block, i)))
    if KIND == Q4_K or KIND == Q5_K:
        return d * np.float32(sub_scale(KIND, block, i))
    return d


@device
def _addend(KIND, block, m, i):
    """What is added to the products of sub-block i."""
    if KIND == Q2_K:
        return -(m * np.float32(np.int64(sub_scale(KIND, block, i)) >> 4))
    if KIND == Q4_K or KIND == Q5_K:
        return -(m * np.float32(sub_minimum(block, i)))
    return m


def _dequantizer(KIND: int) -> Callable[..., None]:
    fmt = FORMATS[NAMES[KIND]]
    NBYTES, UNITS = fmt.block_nbytes, fmt.block_size // UNIT
    IS_SIGNED, HAS_HIGH, HAS_ADDEND = KIND == Q8_0, _SHIFT[KIND] > 0, _M_AT[KIND] >= 0
    SUBS = 2 if KIND in (Q2_K, Q3_K, Q6_K) else 1  # of a unit
    WORDS = 8 // SUBS
    SHIFT, D_AT, M_AT = _SHIFT[KIND], _D_AT[KIND], _M_AT[KIND]
    OFFSET = _OFFSET[KIND]

    def dequantize(blocks, out, n_blocks):
        for i in range(n_blocks):
            block = blocks + i * NBYTES
            d = get_f16(block + D_AT)
            m = get_f16(block + M_AT) if HAS_ADDEND else np.float32(0)
            for unit in range(UNITS):
                for part in range(SUBS):
                    scale = _scale(KIND, block, d, unit * SUBS + part)
                    addend = _addend(KIND, block, m, unit * SUBS + part)
                    for word in range(part * WORDS, (part + 1) * WORDS):
                        low = np.int64(low_word(KIND, block, unit, word))
                        high = np.int64(high_word(KIND, block, unit, word)) if HAS_HIGH else 0
                        at = out + ((i * UNITS + unit) * UNIT + 4 * word) * 4
                        for byte in range(4):
                            q = low >> (8 * byte) & 255
                            if HAS_HIGH:
                                q |= (high >> (8 * byte) & 255) << SHIFT
                            if IS_SIGNED:
                                q = (q ^ 128) - 128
                            value = scale * np.float32(q - OFFSET)
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
    return Kernel(_widen, N_ARGS, "widen_f16")


@cache
def dequantizer(name: str) -> Kernel:
    """Floats of a quantized type's blocks. Arguments: blocks, out, n_blocks."""
    return Kernel(_dequantizer(NAMES.index(name)), N_ARGS, f"dequantize_{name.lower()}")
