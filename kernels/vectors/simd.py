"""Vectors of 16 lanes as Numba types, and the operations on them.

A `Tile` is a fixed number of vectors that live in registers: a plain vector is a tile of one, the
sums of a matrix product are a tile of panels x tokens (tiles.py). Each intrinsic here emits one
operation for every vector of its tiles; loops, addresses and the meaning of the numbers stay in
the kernels.

    F32   16 floats        I32   16 integers       I8   64 bytes (16 lanes of 4 neighbours)

Addresses are 64-bit integers, strides and offsets are bytes, loads and stores need no alignment.
LLVM splits vectors that are wider than the target's registers, so the same source serves every
ISA. No operation allows reassociation, and reductions have a fixed order, so that every ISA gives
the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler.deferred import Deferred, intrinsic, types
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import (
    F32,
    I32,
    V_F32,
    V_I8,
    V_I32,
    constant,
    emits,
    pack,
    unpack,
)


def Tile(kind: str, n: int) -> Any:
    """Numba's type of `n` vectors of one kind: "f32", "i32" (16 lanes) or "i8" (64 bytes)."""
    from halfbyte.kernels.vectors.tile_type import TileType

    return TileType(kind, n)


F32x16 = Deferred(lambda: Tile("f32", 1))
ROUND = 12582912.0  # 1.5 * 2**23: what is added to it is rounded to a whole number


def elementwise(function: Callable[..., Any]) -> Any:
    """Decorate `function(builder, *vectors)` as an intrinsic on tiles of equal size.

    A plain vector beside larger tiles meets each of their vectors.
    """

    @wraps(function)
    def typing(context: Any, *tiles: Any) -> Any:
        widest = max(tiles, key=lambda tile: tile.n)

        def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            vectors = [unpack(b, tile) for tile in args]
            vectors = [v * widest.n if len(v) == 1 else v for v in vectors]
            return pack(b, [function(b, *column) for column in zip(*vectors, strict=True)])

        return widest(*tiles), codegen

    return intrinsic(typing)


# --- floats -----------------------------------------------------------------------------------


@elementwise
def fma(b: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    return emit.call(b, "llvm.fma.v16f32", V_F32, x, y, z)


@elementwise
def add(b: Any, x: Any, y: Any) -> Any:
    """x + y."""
    return b.fadd(x, y)


@elementwise
def sub(b: Any, x: Any, y: Any) -> Any:
    """x - y."""
    return b.fsub(x, y)


@elementwise
def mul(b: Any, x: Any, y: Any) -> Any:
    """x * y."""
    return b.fmul(x, y)


@elementwise
def div(b: Any, x: Any, y: Any) -> Any:
    """x / y."""
    return b.fdiv(x, y)


@elementwise
def maximum(b: Any, x: Any, y: Any) -> Any:
    """The larger; y where they do not compare."""
    return b.select(b.fcmp_ordered(">", x, y), x, y)


@elementwise
def minimum(b: Any, x: Any, y: Any) -> Any:
    """The smaller; y where they do not compare."""
    return b.select(b.fcmp_ordered("<", x, y), x, y)


@elementwise
def choose_above(b: Any, x: Any, y: Any, above: Any, other: Any) -> Any:
    """`above` where x > y; `other` elsewhere, also where they do not compare."""
    return b.select(b.fcmp_ordered(">", x, y), above, other)


@elementwise
def floor(b: Any, x: Any) -> Any:
    """The largest whole number that is not above x."""
    return emit.call(b, "llvm.floor.v16f32", V_F32, x)


@elementwise
def sqrt(b: Any, x: Any) -> Any:
    """The square root."""
    return emit.call(b, "llvm.sqrt.v16f32", V_F32, x)


@elementwise
def absolute(b: Any, x: Any) -> Any:
    """|x|."""
    bits = b.and_(b.bitcast(x, V_I32), constant(V_I32, 0x7FFFFFFF))
    return b.bitcast(bits, V_F32)


@elementwise
def larger_magnitude(b: Any, x: Any, y: Any) -> Any:
    """The larger of |x| and |y|; a NaN is the largest."""
    mask = constant(V_I32, 0x7FFFFFFF)  # what is left are integers in the order of magnitudes
    x, y = (b.and_(b.bitcast(v, V_I32), mask) for v in (x, y))
    return b.bitcast(b.select(b.icmp_signed(">", x, y), x, y), V_F32)


@elementwise
def power_of_two(b: Any, x: Any) -> Any:
    """2 ** n for x = ROUND + n and whole numbers n from -126 to 127; 0 at -127."""
    exponents = b.shl(b.bitcast(x, V_I32), constant(V_I32, 23))  # n is what x's low bits say
    return b.bitcast(b.add(exponents, constant(V_I32, 127 << 23)), V_F32)


@emits(F32x16(types.float32))
def splat(b: Any, x: Any) -> Any:
    """A vector of 16 times the float x."""
    return pack(b, [emit.splat(b, x)])


@intrinsic
def add_all(tc: Any, total: Any, tile: Any) -> Any:
    """A vector and those of a tile, added one after another."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        (total,) = unpack(b, args[0])
        for vector in unpack(b, args[1]):
            total = b.fadd(total, vector)
        return pack(b, [total])

    return total(total, tile), codegen


@intrinsic
def max_all(tc: Any, largest: Any, tile: Any) -> Any:
    """The largest of a vector and those of a tile; a NaN is none."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        (largest,) = unpack(b, args[0])
        for vector in unpack(b, args[1]):
            largest = b.select(b.fcmp_ordered(">", vector, largest), vector, largest)
        return pack(b, [largest])

    return largest(largest, tile), codegen


@emits(F32x16(F32x16, types.int64, F32x16))
def keep_first(b: Any, x: Any, n: Any, other: Any) -> Any:
    """Lanes below n from vector x, the rest from vector `other`."""
    (x,), (other,) = unpack(b, x), unpack(b, other)
    lane = ir.Constant(V_I32, list(range(V_I32.count)))
    limit = emit.splat(b, b.trunc(n, I32))
    return pack(b, [b.select(b.icmp_signed("<", lane, limit), x, other)])


def _fold(b: Any, tile: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """Reduce one vector by halves: lane i with lane i + 8, then + 4, + 2, + 1."""
    (x,) = unpack(b, tile)
    for half in (8, 4, 2, 1):
        low = emit.shuffle(b, x, x, list(range(half)))
        x = combine(low, emit.shuffle(b, x, x, list(range(half, 2 * half))))
    return b.extract_element(x, ir.Constant(I32, 0))


@emits(types.float32(F32x16))
def sum_lanes(b: Any, x: Any) -> Any:
    """The sum of a vector's lanes, by halves."""
    return _fold(b, x, b.fadd)


@emits(types.float32(F32x16))
def max_lanes(b: Any, x: Any) -> Any:
    """The largest of a vector's lanes."""
    return _fold(b, x, lambda x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


@emits(types.float32(F32x16))
def largest_magnitude(b: Any, x: Any) -> Any:
    """The largest |lane| of a vector; NaN where one is."""
    bits = b.and_(b.bitcast(b.extract_value(x, 0), V_I32), constant(V_I32, 0x7FFFFFFF))
    top = _fold(b, pack(b, [bits]), lambda x, y: b.select(b.icmp_signed(">", x, y), x, y))
    return b.bitcast(top, F32)


@emits(types.float32(F32x16))
def first_lane(b: Any, x: Any) -> Any:
    """Lane 0."""
    return b.extract_element(b.extract_value(x, 0), ir.Constant(I32, 0))


# --- loads and stores of one vector -----------------------------------------------------------


@emits(F32x16(types.int64))
def load(b: Any, address: Any) -> Any:
    """16 floats."""
    return pack(b, [emit.load(b, V_F32, address)])


@emits(F32x16(types.int64))
def load_f16(b: Any, address: Any) -> Any:
    """16 half-precision floats, widened exactly."""
    return pack(b, [emit.load_f16(b, address)])


@emits(F32x16(types.int64))
def load_e8m0(b: Any, address: Any) -> Any:
    """The powers of two whose exponents are 16 bytes (formats/block_format.py)."""
    return pack(b, [emit.from_e8m0(b, emit.load(b, V_I8, address))])


@emits(types.void(types.int64))
def prefetch(b: Any, address: Any) -> None:
    """Ask for the cache line at an address, which need not be anybody's."""
    _prefetch(b, address, 3)


@emits(types.void(types.int64))
def prefetch_to_l2(b: Any, address: Any) -> None:
    """The same for what is wanted later: it comes as far as the second cache.

    There more lines can be waited for at a time than in the first.
    """
    _prefetch(b, address, 2)


def _prefetch(b: Any, address: Any, locality: int) -> None:
    hint = [ir.Constant(I32, n) for n in (0, locality, 1)]  # for reading, of data
    emit.call(b, "llvm.prefetch.p0", ir.VoidType(), emit.pointer(b, address), *hint)


@emits(types.void(types.int64, F32x16))
def store(b: Any, address: Any, x: Any) -> None:
    """Write 16 floats."""
    emit.store(b, b.extract_value(x, 0), address)


@emits(types.void(types.int64, F32x16))
def store_f16(b: Any, address: Any, x: Any) -> None:
    """Write 16 floats as half precision, rounded to nearest even."""
    emit.store(b, emit.to_f16(b, b.extract_value(x, 0)), address)


@emits(types.int32(types.int64, F32x16))
def store_rounded_i8(b: Any, address: Any, x: Any) -> Any:
    """Write 16 floats within +-127 as bytes, rounded to nearest even; returns their sum."""
    # Adding ROUND leaves the rounded integer in the low bits, on every ISA alike.
    magic = constant(V_F32, ROUND)
    shifted = b.bitcast(b.fadd(b.extract_value(x, 0), magic), V_I32)
    q = b.sub(shifted, b.bitcast(magic, V_I32))
    emit.store(b, b.trunc(q, V_I8), address)
    return emit.call(b, "llvm.vector.reduce.add.v16i32", I32, q)
