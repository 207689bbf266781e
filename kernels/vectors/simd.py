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
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from halfbyte.kernels.vectors.emit import (
    F32,
    I8,
    I32,
    LANES,
    V_F32,
    V_I16,
    V_I32,
    constant,
    emit_call,
    emit_load,
    emit_load_f16,
    emit_shuffle,
    emit_splat,
    emit_store,
    emit_to_f16,
    pack,
    unpack,
)

_ELEMENT = {"f32": (F32, 16), "i32": (I32, 16), "i8": (I8, 64)}


class Tile(types.Type):
    """`n` vectors of one kind: "f32", "i32" (16 lanes) or "i8" (64 bytes)."""

    def __init__(self, kind: str, n: int) -> None:
        self.kind, self.n = kind, n
        super().__init__(name=f"Tile({kind},{n})")

    @property
    def vector(self) -> ir.VectorType:
        """The LLVM type of one of the vectors."""
        return ir.VectorType(*_ELEMENT[self.kind])


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, tile: Tile) -> None:
        super().__init__(dmm, tile, ir.ArrayType(tile.vector, tile.n))


F32x16 = Tile("f32", 1)


def elementwise(emit: Callable[..., Any]) -> Any:
    """An intrinsic that applies `emit(builder, *vectors)` to tiles of equal size."""

    def typing(context: Any, *tiles: Any) -> Any:
        def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            columns = zip(*(unpack(b, tile) for tile in args), strict=True)
            return pack(b, [emit(b, *vectors) for vectors in columns])

        return tiles[0](*tiles), codegen

    return typing


# --- floats -----------------------------------------------------------------------------------


@intrinsic
def fma(tc: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    emit = lambda b, x, y, z: emit_call(b, "llvm.fma.v16f32", V_F32, x, y, z)  # noqa: E731
    return elementwise(emit)(tc, x, y, z)


@intrinsic
def add(tc: Any, x: Any, y: Any) -> Any:
    """x + y."""
    return elementwise(lambda b, x, y: b.fadd(x, y))(tc, x, y)


@intrinsic
def sub(tc: Any, x: Any, y: Any) -> Any:
    """x - y."""
    return elementwise(lambda b, x, y: b.fsub(x, y))(tc, x, y)


@intrinsic
def mul(tc: Any, x: Any, y: Any) -> Any:
    """x * y."""
    return elementwise(lambda b, x, y: b.fmul(x, y))(tc, x, y)


@intrinsic
def div(tc: Any, x: Any, y: Any) -> Any:
    """x / y."""
    return elementwise(lambda b, x, y: b.fdiv(x, y))(tc, x, y)


@intrinsic
def maximum(tc: Any, x: Any, y: Any) -> Any:
    """The larger; y where they do not compare."""
    return elementwise(lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))(tc, x, y)


@intrinsic
def minimum(tc: Any, x: Any, y: Any) -> Any:
    """The smaller; y where they do not compare."""
    return elementwise(lambda b, x, y: b.select(b.fcmp_ordered("<", x, y), x, y))(tc, x, y)


@intrinsic
def choose_above(tc: Any, x: Any, y: Any, above: Any, other: Any) -> Any:
    """`above` where x > y; `other` elsewhere, also where they do not compare."""
    emit = lambda b, x, y, a, o: b.select(b.fcmp_ordered(">", x, y), a, o)  # noqa: E731
    return elementwise(emit)(tc, x, y, above, other)


@intrinsic
def floor(tc: Any, x: Any) -> Any:
    """The largest whole number that is not above x."""
    return elementwise(lambda b, x: emit_call(b, "llvm.floor.v16f32", V_F32, x))(tc, x)


@intrinsic
def sqrt(tc: Any, x: Any) -> Any:
    """The square root."""
    return elementwise(lambda b, x: emit_call(b, "llvm.sqrt.v16f32", V_F32, x))(tc, x)


@intrinsic
def absolute(tc: Any, x: Any) -> Any:
    """|x|."""

    def emit(b: Any, x: Any) -> Any:
        bits = b.and_(b.bitcast(x, V_I32), constant(V_I32, 0x7FFFFFFF))
        return b.bitcast(bits, V_F32)

    return elementwise(emit)(tc, x)


@intrinsic
def power_of_two(tc: Any, x: Any) -> Any:
    """2 ** x for whole numbers x from -126 to 127; 0 at -127."""

    def emit(b: Any, x: Any) -> Any:
        n = b.add(b.fptosi(x, V_I32), constant(V_I32, 127))
        return b.bitcast(b.shl(n, constant(V_I32, 23)), V_F32)

    return elementwise(emit)(tc, x)


@intrinsic
def splat(tc: Any, x: Any) -> Any:
    """A vector of 16 times the float x."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return pack(b, [emit_splat(b, args[0])])

    return F32x16(types.float32), codegen


@intrinsic
def keep_first(tc: Any, x: Any, n: Any, other: Any) -> Any:
    """Lanes below n from vector x, the rest from vector `other`."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        (x,), (other,) = unpack(b, args[0]), unpack(b, args[2])
        lane = ir.Constant(V_I32, list(range(LANES)))
        limit = emit_splat(b, b.trunc(args[1], I32))
        return pack(b, [b.select(b.icmp_signed("<", lane, limit), x, other)])

    return F32x16(F32x16, types.int64, F32x16), codegen


def _fold(emit: Callable[..., Any]) -> Any:
    """A reduction of one vector by halves: lane i with lane i + 8, then + 4, + 2, + 1."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        (x,) = unpack(b, args[0])
        for half in (8, 4, 2, 1):
            low = emit_shuffle(b, x, x, list(range(half)))
            high = emit_shuffle(b, x, x, list(range(half, 2 * half)))
            x = emit(b, low, high)
        return b.extract_element(x, ir.Constant(I32, 0))

    return types.float32(F32x16), codegen


@intrinsic
def sum_lanes(tc: Any, x: Any) -> Any:
    """The sum of a vector's lanes, by halves."""
    return _fold(lambda b, x, y: b.fadd(x, y))


@intrinsic
def max_lanes(tc: Any, x: Any) -> Any:
    """The largest of a vector's lanes."""
    return _fold(lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


@intrinsic
def first_lane(tc: Any, x: Any) -> Any:
    """Lane 0."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.extract_element(b.extract_value(args[0], 0), ir.Constant(I32, 0))

    return types.float32(F32x16), codegen


# --- loads and stores of one vector -----------------------------------------------------------


def _vector_load(convert: Callable[[Any, Any], Any]) -> Any:
    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return pack(b, [convert(b, args[0])])

    return F32x16(types.int64), codegen


@intrinsic
def load(tc: Any, address: Any) -> Any:
    """16 floats."""
    return _vector_load(lambda b, address: emit_load(b, V_F32, address))


@intrinsic
def load_f16(tc: Any, address: Any) -> Any:
    """16 half-precision floats, widened exactly."""
    return _vector_load(emit_load_f16)


@intrinsic
def load_bf16(tc: Any, address: Any) -> Any:
    """16 bfloat16 numbers, widened exactly."""

    def convert(b: Any, address: Any) -> Any:
        bits = b.zext(emit_load(b, V_I16, address), V_I32)
        return b.bitcast(b.shl(bits, constant(V_I32, 16)), V_F32)

    return _vector_load(convert)


@intrinsic
def store(tc: Any, address: Any, x: Any) -> Any:
    """Write 16 floats."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        emit_store(b, b.extract_value(args[1], 0), args[0])
        return ctx.get_dummy_value()

    return types.void(types.int64, F32x16), codegen


@intrinsic
def store_f16(tc: Any, address: Any, x: Any) -> Any:
    """Write 16 floats as half precision, rounded to nearest even."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        emit_store(b, emit_to_f16(b, b.extract_value(args[1], 0)), args[0])
        return ctx.get_dummy_value()

    return types.void(types.int64, F32x16), codegen


@intrinsic
def store_rounded_i8(tc: Any, address: Any, x: Any) -> Any:
    """Write 16 floats within +-127 as bytes, rounded to nearest even; returns their sum."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        # Adding 1.5 * 2**23 leaves the rounded integer in the low bits, on every ISA alike.
        magic = constant(V_F32, 12582912.0)
        shifted = b.bitcast(b.fadd(b.extract_value(args[1], 0), magic), V_I32)
        q = b.sub(shifted, b.bitcast(magic, V_I32))
        emit_store(b, b.trunc(q, ir.VectorType(I8, LANES)), args[0])
        return emit_call(b, "llvm.vector.reduce.add.v16i32", I32, q)

    return types.int32(types.int64, F32x16), codegen
