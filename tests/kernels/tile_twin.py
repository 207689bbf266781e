"""AMX's tiles in plain floats: the operations of kernels/vectors/amx.py as Intel's manual has them.

A kernel for tiles that is made with these runs anywhere, on the same memory: what it finds where,
and in which order it adds, is what it would be with the registers. Tiles lie in `REGISTERS`, 8 of
1024 bytes, for one kernel at a time.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.products.bf16_product import TileOperations
from halfbyte.kernels.vectors.scalars import get_f32, get_i32, put_f32, put_i32, stack
from halfbyte.kernels.vectors.simd import first_lane, fma, splat

REGISTERS = np.zeros(8 * 1024, np.uint8)
_AT = int(REGISTERS.ctypes.data)
_HIGH = np.int32(-65536)


@device
def _begin():
    """Registers keep what they had, as far as a kernel may know."""
    for at in range(0, 8 * 1024, 4):
        put_i32(_AT + at, np.int32(0x7FC00000))


@device
def _end():
    _begin()


@device
def _zero(tile):
    for at in range(0, 1024, 4):
        put_i32(_AT + tile * 1024 + at, np.int32(0))


@device
def _load(tile, address):
    for at in range(0, 1024, 4):
        put_i32(_AT + tile * 1024 + at, get_i32(address + at))


@device
def _store(tile, address):
    for at in range(0, 1024, 4):
        put_i32(address + at, get_i32(_AT + tile * 1024 + at))


@device
def _fused(x, y, z, float_at):
    """x * y + z of two bf16 in the upper halves of integers, rounded once."""
    put_i32(float_at, x)
    put_i32(float_at + 4, y)
    x, y = get_f32(float_at), get_f32(float_at + 4)
    return first_lane(fma(splat(x), splat(y), splat(z)))


@device
def _add(sums, left, right):
    """TDPBF16PS: temp[0] and temp[1] for the halves of pairs, then both, then what was there."""
    floats = stack(64)
    for m in range(16):
        for n in range(16):
            even = odd = np.float32(0)
            for k in range(16):
                a = get_i32(_AT + left * 1024 + 64 * m + 4 * k)
                b = get_i32(_AT + right * 1024 + 64 * k + 4 * n)
                even = _fused(a << np.int32(16), b << np.int32(16), even, floats)
                odd = _fused(a & _HIGH, b & _HIGH, odd, floats)
            at = _AT + sums * 1024 + 64 * m + 4 * n
            put_f32(at, get_f32(at) + (even + odd))


OPERATIONS = TileOperations(_begin, _end, _zero, _load, _store, _add)
