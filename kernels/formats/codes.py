"""Where the codes of a weight lie in a block of the file: word by word, for packing.

A unit is 32 inputs: a block of the small types, an eighth of a K block. Its codes are taken as 8
words of 4 bytes, byte i of word g for input 4g + i: `low_word` gives the low 4 (or 2) bits of the
codes, `high_word` the bits above. The scales of a K block are 6-bit numbers in 12 bytes, or bytes.

Source: ggml's dequantize_row_* in ggml-quants.c.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.formats.block_format import FORMATS
from halfbyte.kernels.vectors.scalars import get_i32, get_u8

NAMES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
(Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K) = range(len(NAMES))


def offset_of(name: str, field: str) -> int:
    """The byte at which a field begins in a type's block."""
    fields: Any = FORMATS[name].dtype.fields
    return int(fields[field][1])


_QS = tuple(offset_of(name, "ql" if name == "Q6_K" else "qs") for name in NAMES)
_QH5 = tuple(offset_of(name, "qh") for name in ("Q5_0", "Q5_1"))
_Q5_K_QH, _Q6_K_QH = offset_of("Q5_K", "qh"), offset_of("Q6_K", "qh")
_HMASK = offset_of("Q3_K", "hmask")
_SCALES = {name: offset_of(name, "scales") for name in NAMES if name.endswith("_K")}
_Q2_K_SCALES, _Q3_K_SCALES = _SCALES["Q2_K"], _SCALES["Q3_K"]
_Q4_K_SCALES, _Q6_K_SCALES = _SCALES["Q4_K"], _SCALES["Q6_K"]

_TWO, _FOUR, _ONE = np.int32(0x03030303), np.int32(0x0F0F0F0F), np.int32(0x01010101)


@device
def _shifted(address, shift, mask):
    return (get_i32(address) >> np.int32(shift)) & mask


@device
def low_word(KIND, block, unit, g):
    """Word g of the low bits of a unit's codes; `unit` counts within the block."""
    qs = block + _QS[KIND]
    if KIND == Q8_0:
        return get_i32(qs + 4 * g)
    if KIND == Q4_K or KIND == Q5_K:
        return _shifted(qs + unit // 2 * 32 + 4 * g, unit % 2 * 4, _FOUR)
    if KIND == Q6_K:
        return _shifted(qs + unit // 4 * 64 + unit % 2 * 32 + 4 * g, unit % 4 // 2 * 4, _FOUR)
    if KIND == Q2_K or KIND == Q3_K:
        return _shifted(qs + unit // 4 * 32 + 4 * g, unit % 4 * 2, _TWO)
    return _shifted(qs + 4 * (g % 4), g // 4 * 4, _FOUR)


@device
def high_word(KIND, block, unit, g):
    """Word g of the bits above `low_word`'s, shifted down to bit 0."""
    if KIND == Q5_0 or KIND == Q5_1:
        four = (get_i32(block + _QH5[KIND - Q5_0]) >> np.int32(4 * g)) & np.int32(15)
        return (four * np.int32(0x00204081)) & _ONE  # bit i to byte i
    if KIND == Q5_K:
        return _shifted(block + _Q5_K_QH + 4 * g, unit, _ONE)
    if KIND == Q3_K:
        return _shifted(block + _HMASK + 4 * g, unit, _ONE)
    return _shifted(block + _Q6_K_QH + unit // 4 * 32 + 4 * g, unit % 4 * 2, _TWO)


@device
def sub_scale(KIND, block, i):
    """The integer scale of sub-block i, as the byte that panels hold.

    Q2_K's holds the scale in its low 4 bits and the minimum in its high ones, as in the file.
    """
    if KIND == Q2_K:
        return get_u8(block + _Q2_K_SCALES + i)
    if KIND == Q6_K:
        return get_u8(block + _Q6_K_SCALES + i)
    if KIND == Q3_K:
        scales = block + _Q3_K_SCALES
        low = np.int64(get_u8(scales + i % 8)) >> (i // 8 * 4) & 15
        high = np.int64(get_u8(scales + 8 + i % 4)) >> (i // 4 * 2) & 3
        return np.uint8((low | high << 4) - 32)
    scales = block + _Q4_K_SCALES  # Q5_K's lie likewise
    if i < 4:
        return np.uint8(np.int64(get_u8(scales + i)) & 63)
    low = np.int64(get_u8(scales + i + 4)) & 15
    return np.uint8(low | np.int64(get_u8(scales + i - 4)) >> 6 << 4)


@device
def sub_minimum(block, i):
    """The integer minimum of sub-block i of Q4_K or Q5_K."""
    scales = block + _Q4_K_SCALES
    if i < 4:
        return np.uint8(np.int64(get_u8(scales + i + 4)) & 63)
    low = np.int64(get_u8(scales + i + 4)) >> 4
    return np.uint8(low | np.int64(get_u8(scales + i)) >> 6 << 4)
