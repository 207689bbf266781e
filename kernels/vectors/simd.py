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

from halfbyte.kernels.compiler import target

I8, I16, I32, I64 = (ir.IntType(n) for n in (8, 16, 32, 64))
F16, F32 = ir.HalfType(), ir.FloatType()
LANES = 16
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
V_F32, V_I32 = F32x16.vector, Tile("i32", 1).vector
V_I16, _V_F16 = ir.VectorType(I16, LANES), ir.VectorType(F16, LANES)


# --- building blocks of the code generation ---------------------------------------------------


def constant(vector: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(vector, [value] * vector.count)


def unpack(b: Any, tile: Any) -> list[Any]:
    return [b.extract_value(tile, i) for i in range(tile.type.count)]


def pack(b: Any, vectors: list[Any]) -> Any:
    tile = ir.Constant(ir.ArrayType(vectors[0].type, len(vectors)), ir.Undefined)
    for i, vector in enumerate(vectors):
        tile = b.insert_value(tile, vector, i)
    return tile


def emit_pointer(b: Any, address: Any) -> Any:
    return b.inttoptr(address, ir.PointerType())


def _pointer(b: Any, address: Any, stride: Any = None, i: int = 0) -> Any:
    if i:
        address = b.add(address, b.mul(stride, ir.Constant(I64, i)))
    return emit_pointer(b, address)


def emit_load(b: Any, llvm_type: Any, address: Any, stride: Any = None, i: int = 0) -> Any:
    value = b.load(_pointer(b, address, stride, i), typ=llvm_type)
    value.align = 1
    return value


def emit_store(b: Any, value: Any, address: Any, stride: Any = None, i: int = 0) -> None:
    pointer = b.bitcast(_pointer(b, address, stride, i), value.type.as_pointer())
    b.store(value, pointer).align = 1


def emit_splat(b: Any, scalar: Any, count: int = LANES) -> Any:
    vector = ir.VectorType(scalar.type, count)
    undefined = ir.Constant(vector, ir.Undefined)
    one = b.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return b.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, count), None))


def emit_shuffle(b: Any, x: Any, y: Any, lanes: list[int]) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def emit_call(b: Any, name: str, result: Any, *args: Any) -> Any:
    function = b.module.globals.get(name)
    if function is None:
        function = ir.Function(b.module, ir.FunctionType(result, [a.type for a in args]), name)
    return b.call(function, args)


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
        emit_store(b, _to_f16(b, b.extract_value(args[1], 0)), args[0])
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


def emit_load_f16(b: Any, address: Any) -> Any:
    return _from_f16(b, emit_load(b, V_I16, address))


def _from_f16(b: Any, bits: Any) -> Any:
    if target.current().has_f16:
        return b.fpext(b.bitcast(bits, _V_F16), V_F32)
    # Without F16C, LLVM's conversion calls a routine that a JIT does not find: integers do it.
    h = b.zext(bits, V_I32)
    shifted = b.shl(b.and_(h, constant(V_I32, 0x7FFF)), constant(V_I32, 13))
    # Rebiasing the exponent by a product is exact for subnormals too; inf and nan keep theirs.
    finite = b.bitcast(b.fmul(b.bitcast(shifted, V_F32), constant(V_F32, 2.0**112)), V_I32)
    special = b.or_(shifted, constant(V_I32, 0x7F800000))
    is_finite = b.icmp_unsigned("<", shifted, constant(V_I32, 0x7C00 << 13))
    sign = b.shl(b.and_(h, constant(V_I32, 0x8000)), constant(V_I32, 16))
    return b.bitcast(b.or_(b.select(is_finite, finite, special), sign), V_F32)


def _to_f16(b: Any, x: Any) -> Any:
    if target.current().has_f16:
        return b.bitcast(b.fptrunc(x, _V_F16), V_I16)
    c = lambda value: constant(V_I32, value)  # noqa: E731
    bits = b.bitcast(x, V_I32)
    magnitude = b.and_(bits, c(0x7FFFFFFF))
    # Subnormal results: adding 0.5 makes the FPU round at the right bit.
    half = c(126 << 23)
    shifted = b.fadd(b.bitcast(magnitude, V_F32), b.bitcast(half, V_F32))
    subnormal = b.sub(b.bitcast(shifted, V_I32), half)
    # Normal results: rebias, then round half to even by adding just below half, plus the odd bit.
    odd = b.and_(b.lshr(magnitude, c(13)), c(1))
    rebiased = b.add(b.add(magnitude, c(((15 - 127) << 23) + 0xFFF)), odd)
    normal = b.lshr(rebiased, c(13))
    result = b.select(b.icmp_unsigned("<", magnitude, c(113 << 23)), subnormal, normal)
    result = b.select(b.icmp_unsigned(">=", magnitude, c(143 << 23)), c(0x7C00), result)
    result = b.select(b.icmp_unsigned(">", magnitude, c(255 << 23)), c(0x7E00), result)
    sign = b.lshr(b.and_(bits, c(-(2**31))), c(16))
    return b.trunc(b.or_(result, sign), V_I16)


# --- scalars ----------------------------------------------------------------------------------


def _scalar_load(llvm_type: Any, numba_type: Any) -> Any:
    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return emit_load(b, llvm_type, args[0])

    return numba_type(types.int64), codegen


def _scalar_store(numba_type: Any) -> Any:
    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        emit_store(b, args[1], args[0])
        return ctx.get_dummy_value()

    return types.void(types.int64, numba_type), codegen


@intrinsic
def get_f32(tc: Any, address: Any) -> Any:
    """The float at an address."""
    return _scalar_load(F32, types.float32)


@intrinsic
def get_f16(tc: Any, address: Any) -> Any:
    """The half-precision float at an address, widened."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if target.current().has_f16:
            return b.fpext(emit_load(b, F16, args[0]), F32)
        wide = _from_f16(b, emit_splat(b, emit_load(b, I16, args[0])))
        return b.extract_element(wide, ir.Constant(I32, 0))

    return types.float32(types.int64), codegen


@intrinsic
def put_f16(tc: Any, address: Any, x: Any) -> Any:
    """Write a float as half precision, rounded to nearest even."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if target.current().has_f16:
            narrow = b.fptrunc(args[1], F16)
        else:
            narrow = b.extract_element(_to_f16(b, emit_splat(b, args[1])), ir.Constant(I32, 0))
        emit_store(b, narrow, args[0])
        return ctx.get_dummy_value()

    return types.void(types.int64, types.float32), codegen


@intrinsic
def get_i32(tc: Any, address: Any) -> Any:
    """The 32-bit integer at an address."""
    return _scalar_load(I32, types.int32)


@intrinsic
def get_i64(tc: Any, address: Any) -> Any:
    """The 64-bit integer at an address."""
    return _scalar_load(I64, types.int64)


@intrinsic
def get_u8(tc: Any, address: Any) -> Any:
    """The byte at an address."""
    return _scalar_load(I8, types.uint8)


@intrinsic
def get_u16(tc: Any, address: Any) -> Any:
    """The 16-bit unsigned integer at an address."""
    return _scalar_load(I16, types.uint16)


@intrinsic
def put_f32(tc: Any, address: Any, x: Any) -> Any:
    """Write a float."""
    return _scalar_store(types.float32)


@intrinsic
def put_i32(tc: Any, address: Any, x: Any) -> Any:
    """Write a 32-bit integer."""
    return _scalar_store(types.int32)


@intrinsic
def put_i64(tc: Any, address: Any, x: Any) -> Any:
    """Write a 64-bit integer."""
    return _scalar_store(types.int64)


@intrinsic
def put_u16(tc: Any, address: Any, x: Any) -> Any:
    """Write a 16-bit unsigned integer."""
    return _scalar_store(types.uint16)


@intrinsic
def put_u8(tc: Any, address: Any, x: Any) -> Any:
    """Write a byte."""
    return _scalar_store(types.uint8)
