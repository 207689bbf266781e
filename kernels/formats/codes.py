"""Codes and scales of a block, inside kernels: read for packing, written for quantizing.

A unit is 32 inputs: a block of the small types, an eighth of a K block. Codes are read as 8 words
of 4 bytes a unit, byte i of word g for input 4g + i. A block is written by OR into zeroed bytes.

Kernels take what a format states as constants: a PLANE of codes is (first byte in the block, bits,
run, bits of a code that are below it); an integer of sub-blocks is AT, the function that tells its
place, and INTEGER: (first byte, bits of its low part, of its high part, offset).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.formats.block_format import BlockFormat, Place
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.vectors.scalars import get_e8m0, get_f16, get_i32, get_u8, put_u8

UNIT = 32  # inputs

Integer = tuple[Callable[[int], Place] | None, tuple[int, int, int, int]]

_SCALES = [fmt.scales for fmt in FORMATS.values() if fmt.scales is not None]
for _function in {f for s in _SCALES for f in (s.scale_at, s.minimum_at) if f is not None}:
    device(_function)


def code_planes(fmt: BlockFormat) -> list[tuple[int, int, int, int]]:
    """The planes of low and high bits; the latter of no bits where a format has one."""
    planes = [(fmt.at(p.field), p.bits, p.run, fmt.low * i) for i, p in enumerate(fmt.planes)]
    return [*planes, (0, 0, 1, 0)][:2]


def sub_integers(fmt: BlockFormat) -> tuple[Integer, Integer]:
    """The scales and the minima of sub-blocks; (None, zeros) for what a format lacks."""
    if fmt.scales is None:
        return (None, (0, 0, 0, 0)), (None, (0, 0, 0, 0))
    at, low, high = fmt.at("scales"), fmt.scales.low, fmt.scales.high
    return (
        (fmt.scales.scale_at, (at, low, high, fmt.scales.offset)),
        (fmt.scales.minimum_at, (at, low, high, 0)),
    )


@device
def get_number(IS_POWER, at):
    """A block's number, in half precision or a power of two."""
    if IS_POWER:
        return get_e8m0(at)
    return get_f16(at)


@device
def finite_float8(byte):
    """A UE4M3 without its unused bit, as ggml reads it: 0x7F is 0, and 0xFF a number."""
    return np.uint8(0) if byte == np.uint8(127) else byte & np.uint8(127)


@device
def float8(byte):
    """Half of what such a UE4M3 stands for."""
    exponent, mantissa = np.int64(byte) >> 3, np.int64(byte) & 7
    whole = 8 + mantissa if exponent > 0 else 2 * mantissa
    return np.float32(whole << exponent) * np.float32(2.0**-11)


@device
def code_value(TABLE, OFFSET, code):
    """The whole number that a code stands for; TABLE is None where a format has none."""
    if TABLE is None:
        return code - OFFSET
    return np.int64(TABLE[code])


@device
def byte_and_shift(PLANE, i):
    """Where the bits of a block's input i lie."""
    first, bits, run, _ = PLANE
    per_byte = 8 // bits
    return first + i // (run * per_byte) * run + i % run, i // run % per_byte * bits


@device
def get_word(PLANE, block, unit, g):
    """A plane's bits of word g of the block's unit, from bit 0 of each byte up."""
    first, bits, run, below = PLANE
    mask = np.int32(((1 << bits) - 1) * 0x01010101)
    if run == 0:
        return (get_i32(block + first + UNIT * unit + 4 * g) >> np.int32(below)) & mask
    if run < UNIT:
        byte, shift = byte_and_shift(PLANE, UNIT * unit + 4 * g)
    else:  # the unit lies in a row
        byte, shift = byte_and_shift(PLANE, UNIT * unit)
        byte += 4 * g
    if run == 1 and bits == 1:  # 8 inputs a byte
        four = np.int32(get_u8(block + byte)) >> np.int32(shift) & np.int32(15)
        return (four * np.int32(0x00204081)) & mask  # bit i to byte i
    if run == 1:  # 4 inputs of 2 bits a byte
        four = np.int32(get_u8(block + byte))
        four |= (four << np.int32(6)) | (four << np.int32(12)) | (four << np.int32(18))
        return four & mask
    return (get_i32(block + byte) >> np.int32(shift)) & mask


@device
def put_bits(PLANE, block, i, code):
    """A plane's part of the code of a block's input i, given from bit 0 up."""
    byte, shift = byte_and_shift(PLANE, i)
    _put(block + byte, shift, PLANE[1], code)


@device
def get_integer(AT, INTEGER, block, i):
    """The integer of sub-block i."""
    first, low, high, offset = INTEGER
    low_byte, low_shift, high_byte, high_shift = AT(i)
    x = np.int64(get_u8(block + first + low_byte)) >> low_shift & ((1 << low) - 1)
    if high > 0:
        x |= (np.int64(get_u8(block + first + high_byte)) >> high_shift & ((1 << high) - 1)) << low
    return np.int64(np.int8(x - offset))


@device
def put_integer(AT, INTEGER, block, i, x):
    """Write the integer of sub-block i."""
    first, low, high, offset = INTEGER
    low_byte, low_shift, high_byte, high_shift = AT(i)
    _put(block + first + low_byte, low_shift, low, x + offset)
    if high > 0:
        _put(block + first + high_byte, high_shift, high, x + offset >> low)


@device
def _put(at, shift, bits, x):
    put_u8(at, np.uint8(np.int64(get_u8(at)) | (x & ((1 << bits) - 1)) << shift))
