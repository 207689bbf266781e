"""Blocks whose codes are no planes of bits, as blocks of the format that they are read as.

A function for each type: (block, out, book). `out` is the address of a block of `fmt.plain`, and
`book` that of the type's codebook, a byte for a code, or 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.codebook import IQ1_S, IQ2_XS, IQ2_XXS, IQ3_XXS
from halfbyte.kernels.formats.ternary import TQ1_0
from halfbyte.kernels.vectors.scalars import get_i32, get_u8, get_u16, put_i32, put_u8, put_u16

ROOM = 320  # bytes that hold any plain block
# Where scales and codes of plain blocks begin: for 32 inputs each, for 16, without scales.
_SCALES = 2
_QS_32, _QS_16, _QS = (
    fmt.plain.at("qs") for fmt in (IQ2_XXS, IQ2_XS, TQ1_0) if fmt.plain is not None
)
_IQ3_XXS_SCALES, _IQ1_S_QH = IQ3_XXS.at("scales"), IQ1_S.at("qh")
_SIGN_OF_3, _SIGN_OF_4 = 2, 3  # the bit of a code of so many bits
_ALL = 255


def book_address(fmt: BlockFormat) -> int:
    """The address of a type's codebook, which stays where it is; 0: it has none."""
    if fmt.plain is None:
        return 0
    from halfbyte.kernels.formats.codebooks import codebook

    book = codebook(fmt.name)
    return 0 if book is None else int(book.ctypes.data)


@device
def read_block(UNFOLD, block, room, book):
    """The address of a block as it is read: its own, or `room`; UNFOLD is None for most types."""
    if UNFOLD is None:
        return block
    UNFOLD(block, room, book)
    return room


@device
def _to_bytes(bits, shift):
    """4 bits, to bit `shift` of 4 bytes."""
    return ((np.int32(bits & 15) * np.int32(0x00204081)) & np.int32(0x01010101)) << np.int32(shift)


@device
def _put_8(out, first, second, signs, shift):
    """8 codes from the addresses of two halves, with a bit each at `shift`."""
    put_i32(out, get_i32(first) | _to_bytes(signs, shift))
    put_i32(out + 4, get_i32(second) | _to_bytes(signs >> 4, shift))


@device
def _with_parity(signs):
    """7 signs and the eighth, which makes the number of minuses even."""
    x = signs ^ signs >> 4
    x ^= x >> 2
    x ^= x >> 1
    return signs | (x & 1) << 7


@device
def _get_u32(at):
    return np.int64(get_u16(at)) | np.int64(get_u16(at + 2)) << 16


@device
def _put_nibble_scales(scales, n, out):
    """2 s + 1 of n integers of 4 bits, two a byte."""
    for i in range(n):
        s = np.int64(get_u8(scales + i // 2)) >> (i % 2 * 4) & 15
        put_u8(out + _SCALES + i, np.uint8(2 * s + 1))


@device
def unfold_iq2_xxs(block, out, book):
    put_u16(out, get_u16(block))
    for unit in range(8):
        at, rest = block + 2 + 8 * unit, _get_u32(block + 6 + 8 * unit)
        put_u8(out + _SCALES + unit, np.uint8(2 * (rest >> 28) + 1))
        for k in range(4):
            entry = book + 8 * np.int64(get_u8(at + k))
            signs = _with_parity(rest >> (7 * k) & 127)
            _put_8(out + _QS_32 + 32 * unit + 8 * k, entry, entry + 4, signs, _SIGN_OF_3)


@device
def unfold_iq2_xs(block, out, book):
    put_u16(out, get_u16(block))
    _put_nibble_scales(block + 66, 16, out)
    for k in range(32):
        q = np.int64(get_u16(block + 2 + 2 * k))
        entry = book + 8 * (q & 511)
        _put_8(out + _QS_16 + 8 * k, entry, entry + 4, _with_parity(q >> 9), _SIGN_OF_3)


@device
def unfold_iq2_s(block, out, book):
    put_u16(out, get_u16(block))
    _put_nibble_scales(block + 74, 16, out)
    for k in range(32):
        high = np.int64(get_u8(block + 66 + k // 4)) >> (k % 4 * 2) & 3
        entry = book + 8 * (np.int64(get_u8(block + 2 + k)) | high << 8)
        signs = np.int64(get_u8(block + 34 + k))
        _put_8(out + _QS_16 + 8 * k, entry, entry + 4, signs, _SIGN_OF_3)


@device
def unfold_iq3_xxs(block, out, book):
    put_u16(out, get_u16(block))
    for unit in range(8):
        rest = _get_u32(block + _IQ3_XXS_SCALES + 4 * unit)
        put_u8(out + _SCALES + unit, np.uint8(2 * (rest >> 28) + 1))
        for k in range(4):
            at = block + 2 + 8 * unit + 2 * k
            first, second = book + 4 * np.int64(get_u8(at)), book + 4 * np.int64(get_u8(at + 1))
            signs = _with_parity(rest >> (7 * k) & 127)
            _put_8(out + _QS_32 + 32 * unit + 8 * k, first, second, signs, _SIGN_OF_4)


@device
def unfold_iq3_s(block, out, book):
    put_u16(out, get_u16(block))
    _put_nibble_scales(block + 106, 8, out)
    for k in range(32):
        high = np.int64(get_u8(block + 66 + k // 4)) >> (k % 4 * 2)
        at = block + 2 + 2 * k
        first = book + 4 * (np.int64(get_u8(at)) | (high & 1) << 8)
        second = book + 4 * (np.int64(get_u8(at + 1)) | (high >> 1 & 1) << 8)
        signs = np.int64(get_u8(block + 74 + k))
        _put_8(out + _QS_32 + 8 * k, first, second, signs, _SIGN_OF_4)


@device
def unfold_iq1_s(block, out, book):
    put_u16(out, get_u16(block))
    for unit in range(8):
        high = np.int64(get_u16(block + _IQ1_S_QH + 2 * unit))
        put_u8(out + _SCALES + unit, np.uint8(2 * (high >> 12 & 7) + 1))
        less = _ALL if high >> 15 else 0
        for k in range(4):
            index = np.int64(get_u8(block + 2 + 4 * unit + k)) | (high >> (3 * k) & 7) << 8
            entry = book + 8 * index
            _put_8(out + _QS_32 + 32 * unit + 8 * k, entry, entry + 4, less, _SIGN_OF_3)


@device
def unfold_iq1_m(block, out, book):
    d = np.int64(0)
    for i in range(4):
        word = np.int64(get_u16(block + 48 + 2 * i))
        d |= word >> 12 << (4 * i)
        for k in range(4):
            s = word >> (3 * k) & 7
            put_u8(out + _SCALES + 4 * i + k, np.uint8(2 * s + 1))
    put_u16(out, np.uint16(d))
    for k in range(32):
        high = np.int64(get_u8(block + 32 + k // 2)) >> (k % 2 * 4)
        entry = book + 8 * (np.int64(get_u8(block + k)) | (high & 7) << 8)
        less = _ALL if high & 8 else 0
        _put_8(out + _QS_16 + 8 * k, entry, entry + 4, less, _SIGN_OF_3)


@device
def _put_digits(at, n_bytes, n_digits, out):
    """The digits of some bytes, the first of all of them first."""
    power = 1
    for digit in range(n_digits):
        for i in range(n_bytes):
            rest = np.int64(get_u8(at + i)) * power & 255
            put_u8(out + digit * n_bytes + i, np.uint8(rest * 3 >> 8))
        power *= 3


@device
def unfold_tq1_0(block, out, book):
    put_u16(out, get_u16(block + 52))
    _put_digits(block, 32, 5, out + _QS)
    _put_digits(block + 32, 16, 5, out + _QS + 160)
    _put_digits(block + 48, 4, 4, out + _QS + 240)


UNFOLD: dict[str, Callable[..., Any]] = {
    "IQ2_XXS": unfold_iq2_xxs, "IQ2_XS": unfold_iq2_xs, "IQ2_S": unfold_iq2_s,
    "IQ3_XXS": unfold_iq3_xxs, "IQ3_S": unfold_iq3_s, "IQ1_S": unfold_iq1_s,
    "IQ1_M": unfold_iq1_m, "TQ1_0": unfold_tq1_0,
}  # fmt: skip
