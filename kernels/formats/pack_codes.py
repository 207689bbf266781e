"""Codes and scales into a K type's block: the inverse of codes.py, for quantizing.

A block is written by OR into zeroed bytes, so that each field has one line here.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.formats.codes import NAMES, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, offset_of
from halfbyte.kernels.vectors.scalars import get_u8, put_u8

_QS = tuple(offset_of(name, "ql" if name == "Q6_K" else "qs") for name in NAMES)
_SCALES = tuple(offset_of(name, "scales") if name.endswith("_K") else 0 for name in NAMES)
_HMASK, _Q5_QH, _Q6_QH = (
    offset_of(name, field) for name, field in (("Q3_K", "hmask"), ("Q5_K", "qh"), ("Q6_K", "qh"))
)
UNIT = 32  # inputs; a block has 8 units


@device
def _put_bits(at, code, mask, shift):
    put_u8(at, np.uint8(np.int64(get_u8(at)) | (code & mask) << shift))


@device
def put_code(KIND, block, unit, j, code):
    """The code, 0 or more, of input j of a unit."""
    qs = block + _QS[KIND] + j
    if KIND == Q4_K or KIND == Q5_K:
        _put_bits(qs + unit // 2 * 32, code, 15, unit % 2 * 4)
        if KIND == Q5_K:
            _put_bits(block + _Q5_QH + j, code >> 4, 1, unit)
    elif KIND == Q6_K:
        _put_bits(qs + unit // 4 * 64 + unit % 2 * 32, code, 15, unit % 4 // 2 * 4)
        _put_bits(block + _Q6_QH + unit // 4 * 32 + j, code >> 4, 3, unit % 4 * 2)
    else:
        _put_bits(qs + unit // 4 * 32, code, 3, unit % 4 * 2)
        if KIND == Q3_K:
            _put_bits(block + _HMASK + j, code >> 2, 1, unit)


@device
def put_scale(KIND, block, i, scale, minimum):
    """The integer scale of sub-block i, and its minimum where the type has minima."""
    scales = block + _SCALES[KIND]
    if KIND == Q2_K:
        put_u8(scales + i, np.uint8(scale | minimum << 4))
    elif KIND == Q6_K:
        put_u8(scales + i, np.uint8(scale & 255))
    elif KIND == Q3_K:
        _put_bits(scales + i % 8, scale + 32, 15, i // 8 * 4)
        _put_bits(scales + 8 + i % 4, scale + 32 >> 4, 3, i // 4 * 2)
    elif i < 4:
        _put_bits(scales + i, scale, 63, 0)
        _put_bits(scales + i + 4, minimum, 63, 0)
    else:
        _put_bits(scales + i + 4, scale, 15, 0)
        _put_bits(scales + i + 4, minimum, 15, 4)
        _put_bits(scales + i - 4, scale >> 4, 3, 6)
        _put_bits(scales + i, minimum >> 4, 3, 6)
