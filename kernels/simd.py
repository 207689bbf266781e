"""Vectors of 16 lanes as Numba types, and the operations on them.

A `Tile` is a fixed number of vectors that live in registers: a plain vector is a tile of one, the
sums of a register-tiled matrix product are a tile of panels x tokens, panel by panel. Each
intrinsic here emits one operation for every vector of its tiles; loops, addresses and the
meaning of the numbers stay in the kernels.

    F32   16 floats        I32   16 integers       I8   64 bytes (16 lanes of 4 neighbours)

Addresses are 64-bit integers, strides and offsets are bytes, loads and stores need no alignment.
LLVM splits vectors that are wider than the target's registers, so the same source serves every
ISA; only `dot` and `dot_signed` have a body for each (see target.py). No operation allows
reassociation, and reductions have a fixed order, so that every ISA gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from . import target

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
_V_F32, _V_I32 = F32x16.vector, Tile("i32", 1).vector
_V_I16, _V_F16 = ir.VectorType(I16, LANES), ir.VectorType(F16, LANES)


# --- building blocks of the code generation ---------------------------------------------------


def _const(vector: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(vector, [value] * vector.count)


def _unpack(b: Any, tile: Any) -> list[Any]:
    return [b.extract_value(tile, i) for i in range(tile.type.count)]


def _pack(b: Any, vectors: list[Any]) -> Any:
    tile = ir.Constant(ir.ArrayType(vectors[0].type, len(vectors)), ir.Undefined)
    for i, vector in enumerate(vectors):
        tile = b.insert_value(tile, vector, i)
    return tile


def _pointer(b: Any, address: Any, stride: Any = None, i: int = 0) -> Any:
    if i:
        address = b.add(address, b.mul(stride, ir.Constant(I64, i)))
    return b.inttoptr(address, ir.PointerType())


def _load(b: Any, llvm_type: Any, address: Any, stride: Any = None, i: int = 0) -> Any:
    value = b.load(_pointer(b, address, stride, i), typ=llvm_type)
    value.align = 1
    return value


def _store(b: Any, value: Any, address: Any, stride: Any = None, i: int = 0) -> None:
    pointer = b.bitcast(_pointer(b, address, stride, i), value.type.as_pointer())
    b.store(value, pointer).align = 1


def _splat(b: Any, scalar: Any, count: int = LANES) -> Any:
    vector = ir.VectorType(scalar.type, count)
    undefined = ir.Constant(vector, ir.Undefined)
    one = b.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return b.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, count), None))


def _shuffle(b: Any, x: Any, y: Any, lanes: list[int]) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def _call(b: Any, name: str, result: Any, *args: Any) -> Any:
    function = b.module.globals.get(name)
    if function is None:
        function = ir.Function(b.module, ir.FunctionType(result, [a.type for a in args]), name)
    return b.call(function, args)


def _elementwise(emit: Callable[..., Any]) -> Any:
    """An intrinsic that applies `emit(builder, *vectors)` to tiles of equal size."""

    def typing(context: Any, *tiles: Any) -> Any:
        def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            columns = zip(*(_unpack(b, tile) for tile in args), strict=True)
            return _pack(b, [emit(b, *vectors) for vectors in columns])

        return tiles[0](*tiles), codegen

    return typing


# --- floats -----------------------------------------------------------------------------------


@intrinsic
def fma(tc: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    emit = lambda b, x, y, z: _call(b, "llvm.fma.v16f32", _V_F32, x, y, z)  # noqa: E731
    return _elementwise(emit)(tc, x, y, z)


@intrinsic
def add(tc: Any, x: Any, y: Any) -> Any:
    """x + y."""
    return _elementwise(lambda b, x, y: b.fadd(x, y))(tc, x, y)


@intrinsic
def sub(tc: Any, x: Any, y: Any) -> Any:
    """x - y."""
    return _elementwise(lambda b, x, y: b.fsub(x, y))(tc, x, y)


@intrinsic
def mul(tc: Any, x: Any, y: Any) -> Any:
    """x * y."""
    return _elementwise(lambda b, x, y: b.fmul(x, y))(tc, x, y)


@intrinsic
def div(tc: Any, x: Any, y: Any) -> Any:
    """x / y."""
    return _elementwise(lambda b, x, y: b.fdiv(x, y))(tc, x, y)


@intrinsic
def maximum(tc: Any, x: Any, y: Any) -> Any:
    """The larger; y where they do not compare."""
    return _elementwise(lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))(tc, x, y)


@intrinsic
def minimum(tc: Any, x: Any, y: Any) -> Any:
    """The smaller; y where they do not compare."""
    return _elementwise(lambda b, x, y: b.select(b.fcmp_ordered("<", x, y), x, y))(tc, x, y)


@intrinsic
def absolute(tc: Any, x: Any) -> Any:
    """|x|."""

    def emit(b: Any, x: Any) -> Any:
        bits = b.and_(b.bitcast(x, _V_I32), _const(_V_I32, 0x7FFFFFFF))
        return b.bitcast(bits, _V_F32)

    return _elementwise(emit)(tc, x)


@intrinsic
def power_of_two(tc: Any, x: Any) -> Any:
    """2 ** x for whole numbers x from -126 to 127; 0 at -127."""

    def emit(b: Any, x: Any) -> Any:
        n = b.add(b.fptosi(x, _V_I32), _const(_V_I32, 127))
        return b.bitcast(b.shl(n, _const(_V_I32, 23)), _V_F32)

    return _elementwise(emit)(tc, x)


@intrinsic
def splat(tc: Any, x: Any) -> Any:
    """A vector of 16 times the float x."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return _pack(b, [_splat(b, args[0])])

    return F32x16(types.float32), codegen


@intrinsic(prefer_literal=True)
def zeros(tc: Any, r: Any, t: Any) -> Any:
    """A tile of r x t float vectors, all zero; r and t are constants."""
    tile = Tile("f32", r.literal_value * t.literal_value)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return _pack(b, [_const(tile.vector, 0.0)] * tile.n)

    return tile(r, t), codegen


@intrinsic
def keep_first(tc: Any, x: Any, n: Any, other: Any) -> Any:
    """Lanes below n from vector x, the rest from vector `other`."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        (x,), (other,) = _unpack(b, args[0]), _unpack(b, args[2])
        lane = ir.Constant(_V_I32, list(range(LANES)))
        limit = _splat(b, b.trunc(args[1], I32))
        return _pack(b, [b.select(b.icmp_signed("<", lane, limit), x, other)])

    return F32x16(F32x16, types.int64, F32x16), codegen


def _fold(emit: Callable[..., Any]) -> Any:
    """A reduction of one vector by halves: lane i with lane i + 8, then + 4, + 2, + 1."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        (x,) = _unpack(b, args[0])
        for half in (8, 4, 2, 1):
            low = _shuffle(b, x, x, list(range(half)))
            high = _shuffle(b, x, x, list(range(half, 2 * half)))
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
        return _pack(b, [convert(b, args[0])])

    return F32x16(types.int64), codegen


@intrinsic
def load(tc: Any, address: Any) -> Any:
    """16 floats."""
    return _vector_load(lambda b, address: _load(b, _V_F32, address))


@intrinsic
def load_f16(tc: Any, address: Any) -> Any:
    """16 half-precision floats, widened exactly."""
    return _vector_load(_load_f16)


@intrinsic
def load_bf16(tc: Any, address: Any) -> Any:
    """16 bfloat16 numbers, widened exactly."""

    def convert(b: Any, address: Any) -> Any:
        bits = b.zext(_load(b, _V_I16, address), _V_I32)
        return b.bitcast(b.shl(bits, _const(_V_I32, 16)), _V_F32)

    return _vector_load(convert)


@intrinsic
def store(tc: Any, address: Any, x: Any) -> Any:
    """Write 16 floats."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        _store(b, b.extract_value(args[1], 0), args[0])
        return ctx.get_dummy_value()

    return types.void(types.int64, F32x16), codegen


@intrinsic
def store_f16(tc: Any, address: Any, x: Any) -> Any:
    """Write 16 floats as half precision, rounded to nearest even."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        _store(b, _to_f16(b, b.extract_value(args[1], 0)), args[0])
        return ctx.get_dummy_value()

    return types.void(types.int64, F32x16), codegen


@intrinsic
def store_rounded_i8(tc: Any, address: Any, x: Any) -> Any:
    """Write 16 floats within +-127 as bytes, rounded to nearest even; returns their sum."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        # Adding 1.5 * 2**23 leaves the rounded integer in the low bits, on every ISA alike.
        magic = _const(_V_F32, 12582912.0)
        shifted = b.bitcast(b.fadd(b.extract_value(args[1], 0), magic), _V_I32)
        q = b.sub(shifted, b.bitcast(magic, _V_I32))
        _store(b, b.trunc(q, ir.VectorType(I8, LANES)), args[0])
        return _call(b, "llvm.vector.reduce.add.v16i32", I32, q)

    return types.int32(types.int64, F32x16), codegen


def _load_f16(b: Any, address: Any) -> Any:
    return _from_f16(b, _load(b, _V_I16, address))


def _from_f16(b: Any, bits: Any) -> Any:
    if target.current().has_f16:
        return b.fpext(b.bitcast(bits, _V_F16), _V_F32)
    # Without F16C, LLVM's conversion calls a routine that a JIT does not find: integers do it.
    h = b.zext(bits, _V_I32)
    shifted = b.shl(b.and_(h, _const(_V_I32, 0x7FFF)), _const(_V_I32, 13))
    # Rebiasing the exponent by a product is exact for subnormals too; inf and nan keep theirs.
    finite = b.bitcast(b.fmul(b.bitcast(shifted, _V_F32), _const(_V_F32, 2.0**112)), _V_I32)
    special = b.or_(shifted, _const(_V_I32, 0x7F800000))
    is_finite = b.icmp_unsigned("<", shifted, _const(_V_I32, 0x7C00 << 13))
    sign = b.shl(b.and_(h, _const(_V_I32, 0x8000)), _const(_V_I32, 16))
    return b.bitcast(b.or_(b.select(is_finite, finite, special), sign), _V_F32)


def _to_f16(b: Any, x: Any) -> Any:
    if target.current().has_f16:
        return b.bitcast(b.fptrunc(x, _V_F16), _V_I16)
    c = lambda value: _const(_V_I32, value)  # noqa: E731
    bits = b.bitcast(x, _V_I32)
    magnitude = b.and_(bits, c(0x7FFFFFFF))
    # Subnormal results: adding 0.5 makes the FPU round at the right bit.
    half = c(126 << 23)
    shifted = b.fadd(b.bitcast(magnitude, _V_F32), b.bitcast(half, _V_F32))
    subnormal = b.sub(b.bitcast(shifted, _V_I32), half)
    # Normal results: rebias, then round half to even by adding just below half, plus the odd bit.
    odd = b.and_(b.lshr(magnitude, c(13)), c(1))
    rebiased = b.add(b.add(magnitude, c(((15 - 127) << 23) + 0xFFF)), odd)
    normal = b.lshr(rebiased, c(13))
    result = b.select(b.icmp_unsigned("<", magnitude, c(113 << 23)), subnormal, normal)
    result = b.select(b.icmp_unsigned(">=", magnitude, c(143 << 23)), c(0x7C00), result)
    result = b.select(b.icmp_unsigned(">", magnitude, c(255 << 23)), c(0x7E00), result)
    sign = b.lshr(b.and_(bits, c(-(2**31))), c(16))
    return b.trunc(b.or_(result, sign), _V_I16)


# --- scalars ----------------------------------------------------------------------------------


def _scalar_load(llvm_type: Any, numba_type: Any) -> Any:
    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return _load(b, llvm_type, args[0])

    return numba_type(types.int64), codegen


def _scalar_store(numba_type: Any) -> Any:
    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        _store(b, args[1], args[0])
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
            return b.fpext(_load(b, F16, args[0]), F32)
        wide = _from_f16(b, _splat(b, _load(b, I16, args[0])))
        return b.extract_element(wide, ir.Constant(I32, 0))

    return types.float32(types.int64), codegen


@intrinsic
def put_f16(tc: Any, address: Any, x: Any) -> Any:
    """Write a float as half precision, rounded to nearest even."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if target.current().has_f16:
            narrow = b.fptrunc(args[1], F16)
        else:
            narrow = b.extract_element(_to_f16(b, _splat(b, args[1])), ir.Constant(I32, 0))
        _store(b, narrow, args[0])
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
def put_u16(tc: Any, address: Any, x: Any) -> Any:
    """Write a 16-bit unsigned integer."""
    return _scalar_store(types.uint16)


# --- register tiles of the matrix product -----------------------------------------------------


@intrinsic(prefer_literal=True)
def load_codes(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """R vectors of 64 bytes, `stride` bytes apart."""
    tile = Tile("i8", r.literal_value)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return _pack(b, [_load(b, tile.vector, args[0], args[1], i) for i in range(tile.n)])

    return tile(types.int64, types.int64, r), codegen


@intrinsic
def low_nibbles(tc: Any, codes: Any) -> Any:
    """The low 4 bits of each byte."""
    return _elementwise(lambda b, x: b.and_(x, _const(x.type, 15)))(tc, codes)


@intrinsic
def high_nibbles(tc: Any, codes: Any) -> Any:
    """The high 4 bits of each byte."""

    def emit(b: Any, x: Any) -> Any:
        # No ISA shifts bytes: shift 16 bits, then drop what came from the neighbour.
        wide = ir.VectorType(I16, 32)
        shifted = b.lshr(b.bitcast(x, wide), _const(wide, 4))
        return b.bitcast(b.and_(shifted, _const(wide, 0x0F0F)), x.type)

    return _elementwise(emit)(tc, codes)


@intrinsic(prefer_literal=True)
def dot_start(tc: Any, sums: Any, stride: Any, offset: Any, r: Any, t: Any) -> Any:
    """A tile of r x t integer vectors: every lane of token i begins at -offset * sums[i].

    Folds a constant offset of the codes into the sum's start: sum((q - o) * x) = sum(q * x) - o *
    sum(x). `sums` is the address of the first token's 32-bit sum.
    """
    n_panels, n_tokens = r.literal_value, t.literal_value
    tile, minus = Tile("i32", n_panels * n_tokens), -offset.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if minus == 0:
            return _pack(b, [_const(tile.vector, 0)] * tile.n)
        starts = []
        for i in range(n_tokens):
            total = _load(b, I32, args[0], args[1], i)
            starts.append(_splat(b, b.mul(total, ir.Constant(I32, minus))))
        return _pack(b, starts * n_panels)

    return tile(types.int64, types.int64, offset, r, t), codegen


def _dot(is_signed: bool) -> Any:
    def typing(tc: Any, acc: Any, codes: Any, x: Any, stride: Any) -> Any:
        n_panels, n_tokens = codes.n, acc.n // codes.n

        def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            isa = target.current().name
            acc, codes = _unpack(b, args[0]), _unpack(b, args[1])
            if is_signed and isa in _UNSIGNED_DOT:
                codes = [b.xor(c, _const(c.type, -128)) for c in codes]
            for i in range(n_tokens):
                four = _load(b, I32, args[2], args[3], i)
                x = b.bitcast(_splat(b, four), codes[0].type)
                for panel in range(n_panels):
                    k = panel * n_tokens + i
                    acc[k] = _DOT[isa](b, acc[k], codes[panel], x, is_signed)
            return _pack(b, acc)

        return acc(acc, codes, types.int64, types.int64), codegen

    return typing


@intrinsic
def dot(tc: Any, acc: Any, codes: Any, x: Any, stride: Any) -> Any:
    """acc[panel, token] += the 4-way byte products of codes[panel] and 4 bytes of a token.

    Codes are unsigned, at most 127; lane i takes bytes 4i..4i+3. x is the address of the first
    token's 4 signed bytes, which are within +-127; every lane gets the same 4.
    """
    return _dot(False)(tc, acc, codes, x, stride)


@intrinsic
def dot_signed(tc: Any, acc: Any, codes: Any, x: Any, stride: Any) -> Any:
    """As `dot` for signed codes; the sum must have begun with `dot_start` at SIGNED_OFFSET."""
    return _dot(True)(tc, acc, codes, x, stride)


def _halves(b: Any, x: Any, count: int) -> list[Any]:
    n = x.type.count // count
    return [_shuffle(b, x, x, list(range(i * n, (i + 1) * n))) for i in range(count)]


def _join(b: Any, parts: list[Any]) -> Any:
    while len(parts) > 1:
        n = 2 * parts[0].type.count
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [_shuffle(b, x, y, list(range(n))) for x, y in pairs]
    return parts[0]


def _in_parts(emit: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Apply `emit` to each of `count` parts of the vectors and join the results."""

    def whole(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
        parts = zip(*(_halves(b, v, count) for v in (acc, codes, x)), strict=True)
        return _join(b, [emit(b, *part, is_signed) for part in parts])

    return whole


def _dot_vnni512(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    return _call(b, "llvm.x86.avx512.vpdpbusd.512", acc.type, acc, codes, x)


def _dot_vnni256(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    return _call(b, "llvm.x86.avx512.vpdpbusd.256", acc.type, acc, codes, x)


def _dot_avx2(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    v16 = ir.VectorType(I16, 16)
    if is_signed:
        # vpmaddubsw wants one unsigned side and saturates: 128 * 127 * 2 still fits.
        x = _call(b, "llvm.x86.avx2.psign.b", x.type, x, codes)
        codes = _call(b, "llvm.abs.v32i8", codes.type, codes, ir.Constant(ir.IntType(1), 0))
    pairs = _call(b, "llvm.x86.avx2.pmadd.ub.sw", v16, codes, x)
    return b.add(acc, _call(b, "llvm.x86.avx2.pmadd.wd", acc.type, pairs, _const(v16, 1)))


def _dot_neon(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    return _call(b, "llvm.aarch64.neon.sdot.v4i32.v16i8", acc.type, acc, codes, x)


def _dot_generic(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    # Two products of at most 128 * 127 fit 16 bits, which every SIMD unit multiplies.
    c, v = (
        [b.sext(_shuffle(b, y, y, list(range(k, 64, 4))), _V_I16) for k in range(4)]
        for y in (codes, x)
    )
    p = [b.mul(c[k], v[k]) for k in range(4)]
    for pair in (b.add(p[0], p[1]), b.add(p[2], p[3])):
        acc = b.add(acc, b.sext(pair, _V_I32))
    return acc


_DOT: dict[str, Callable[..., Any]] = {
    "avx512vnni": _dot_vnni512,
    "avxvnni": _in_parts(_dot_vnni256, 2),
    "avx2": _in_parts(_dot_avx2, 2),
    "neon": _in_parts(_dot_neon, 4),
    "generic": _dot_generic,
}
_UNSIGNED_DOT = ("avx512vnni", "avxvnni")


def signed_offset() -> int:
    """What `dot_signed` adds to each code on this target, for `dot_start` to take away."""
    return 128 if target.current().name in _UNSIGNED_DOT else 0


@intrinsic(prefer_literal=True)
def add_scaled(
    tc: Any, acc: Any, dots: Any, d: Any, d_stride: Any, s: Any, s_stride: Any, r: Any, t: Any
) -> Any:
    """acc[panel, token] += float(dots) * (d[panel] * s[token]).

    d: address of 16 half-precision weight scales; s: address of the token's float scale.
    """
    n_panels, n_tokens = r.literal_value, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, dots = _unpack(b, args[0]), _unpack(b, args[1])
        scales = [_splat(b, _load(b, F32, args[4], args[5], i)) for i in range(n_tokens)]
        for panel in range(n_panels):
            d = _load_f16(b, b.add(args[2], b.mul(args[3], ir.Constant(I64, panel))))
            for i in range(n_tokens):
                k = panel * n_tokens + i
                scale, value = b.fmul(d, scales[i]), b.sitofp(dots[k], _V_F32)
                acc[k] = _call(b, "llvm.fma.v16f32", _V_F32, value, scale, acc[k])
        return _pack(b, acc)

    i64 = types.int64
    return acc(acc, dots, i64, i64, i64, i64, r, t), codegen


@intrinsic(prefer_literal=True)
def add_minima(
    tc: Any, acc: Any, m: Any, m_stride: Any, s: Any, sums: Any, stride: Any, r: Any, t: Any
) -> Any:
    """acc[panel, token] += m[panel] * (s[token] * float(sums[token])).

    m: address of 16 half-precision minima; s, sums: addresses of the token's scale and sum.
    """
    n_panels, n_tokens = r.literal_value, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, weights = _unpack(b, args[0]), []
        for i in range(n_tokens):
            s = _load(b, F32, args[3], args[5], i)
            total = b.sitofp(_load(b, I32, args[4], args[5], i), F32)
            weights.append(_splat(b, b.fmul(s, total)))
        for panel in range(n_panels):
            m = _load_f16(b, b.add(args[1], b.mul(args[2], ir.Constant(I64, panel))))
            for i in range(n_tokens):
                k = panel * n_tokens + i
                acc[k] = _call(b, "llvm.fma.v16f32", _V_F32, m, weights[i], acc[k])
        return _pack(b, acc)

    i64 = types.int64
    return acc(acc, i64, i64, i64, i64, i64, r, t), codegen


@intrinsic(prefer_literal=True)
def add_outer(tc: Any, acc: Any, column: Any, x: Any, stride: Any, t: Any) -> Any:
    """acc[panel, token] += column[panel] * x[token], x the address of the first token's float."""
    n_panels, n_tokens = column.n, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, column = _unpack(b, args[0]), _unpack(b, args[1])
        for i in range(n_tokens):
            x = _splat(b, _load(b, F32, args[2], args[3], i))
            for panel in range(n_panels):
                k = panel * n_tokens + i
                acc[k] = _call(b, "llvm.fma.v16f32", _V_F32, column[panel], x, acc[k])
        return _pack(b, acc)

    return acc(acc, column, types.int64, types.int64, t), codegen


def _column(convert: Callable[[Any, Any], Any]) -> Any:
    def typing(tc: Any, address: Any, stride: Any, r: Any) -> Any:
        tile = Tile("f32", r.literal_value)

        def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            starts = [b.add(args[0], b.mul(args[1], ir.Constant(I64, i))) for i in range(tile.n)]
            return _pack(b, [convert(b, start) for start in starts])

        return tile(types.int64, types.int64, r), codegen

    return typing


@intrinsic(prefer_literal=True)
def load_column(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """R vectors of floats, `stride` bytes apart."""
    return _column(lambda b, address: _load(b, _V_F32, address))(tc, address, stride, r)


@intrinsic(prefer_literal=True)
def load_column_f16(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """R vectors of half-precision floats, `stride` bytes apart, widened."""
    return _column(_load_f16)(tc, address, stride, r)


@intrinsic(prefer_literal=True)
def load_column_bf16(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """R vectors of bfloat16 numbers, `stride` bytes apart, widened."""

    def convert(b: Any, address: Any) -> Any:
        bits = b.zext(_load(b, _V_I16, address), _V_I32)
        return b.bitcast(b.shl(bits, _const(_V_I32, 16)), _V_F32)

    return _column(convert)(tc, address, stride, r)


@intrinsic(prefer_literal=True)
def store_tile(
    tc: Any, acc: Any, y: Any, panel_stride: Any, token_stride: Any, add_to: Any, r: Any, t: Any
) -> Any:
    """y[panel, token] = acc, or y + acc where the integer `add_to` is not zero."""
    n_panels, n_tokens = r.literal_value, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc = _unpack(b, args[0])
        adds = b.icmp_signed("!=", args[4], ir.Constant(I64, 0))
        with b.if_else(adds) as (then, otherwise):
            for branch, is_sum in ((then, True), (otherwise, False)):
                with branch:
                    for panel in range(n_panels):
                        start = b.add(args[1], b.mul(args[2], ir.Constant(I64, panel)))
                        for i in range(n_tokens):
                            value = acc[panel * n_tokens + i]
                            if is_sum:
                                value = b.fadd(_load(b, _V_F32, start, args[3], i), value)
                            _store(b, value, start, args[3], i)
        return ctx.get_dummy_value()

    i64 = types.int64
    return types.void(acc, i64, i64, i64, i64, r, t), codegen
