"""LLVM code of vectors: what the intrinsics of simd.py, tiles.py and others are put together from.

Addresses are 64-bit integers, strides and offsets are bytes, loads and stores need no alignment.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.deferred import intrinsic

I8, I16, I32, I64 = (ir.IntType(n) for n in (8, 16, 32, 64))
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
LANES = 16
V_I8, V_I16, V_I32 = (ir.VectorType(element, LANES) for element in (I8, I16, I32))
V_F16, V_F32 = (ir.VectorType(element, LANES) for element in (F16, F32))


def emits(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate `emit(builder, *values)`, which makes LLVM code, as an intrinsic of fixed types."""

    def decorate(emit: Callable[..., Any]) -> Any:
        @wraps(emit)  # by whose arguments Numba checks calls, the first left out
        def typing(context: Any, *types: Any) -> Any:
            def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
                value = emit(b, *args)
                return ctx.get_dummy_value() if value is None else value

            return signature, codegen

        return intrinsic(typing)

    return decorate


def constant(vector: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(vector, [value] * vector.count)


def unpack(b: Any, tile: Any) -> list[Any]:
    return [b.extract_value(tile, i) for i in range(tile.type.count)]


def pack(b: Any, vectors: list[Any]) -> Any:
    tile = ir.Constant(ir.ArrayType(vectors[0].type, len(vectors)), ir.Undefined)
    for i, vector in enumerate(vectors):
        tile = b.insert_value(tile, vector, i)
    return tile


def pointer(b: Any, address: Any, stride: Any = None, i: int = 0) -> Any:
    if i:
        address = b.add(address, b.mul(stride, ir.Constant(I64, i)))
    return b.inttoptr(address, ir.PointerType())


def load(b: Any, llvm_type: Any, address: Any, stride: Any = None, i: int = 0) -> Any:
    value = b.load(pointer(b, address, stride, i), typ=llvm_type)
    value.align = 1
    return value


def store(b: Any, value: Any, address: Any, stride: Any = None, i: int = 0) -> None:
    to = b.bitcast(pointer(b, address, stride, i), value.type.as_pointer())
    b.store(value, to).align = 1


def stream(b: Any, value: Any, address: Any) -> None:
    """Store a vector of 64 bytes past the caches, at a multiple of 64."""
    to = b.bitcast(pointer(b, address), value.type.as_pointer())
    stored = b.store(value, to, align=64)
    stored.set_metadata("nontemporal", b.module.add_metadata([ir.Constant(I32, 1)]))


def splat(b: Any, scalar: Any, count: int = LANES) -> Any:
    vector = ir.VectorType(scalar.type, count)
    undefined = ir.Constant(vector, ir.Undefined)
    one = b.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return b.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, count), None))


def shuffle(b: Any, x: Any, y: Any, lanes: list[int]) -> Any:
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def split(b: Any, x: Any, count: int) -> list[Any]:
    """A vector in `count` parts."""
    n = x.type.count // count
    return [shuffle(b, x, x, list(range(i * n, (i + 1) * n))) for i in range(count)]


def join(b: Any, parts: list[Any]) -> Any:
    """A power of two of vectors as one."""
    while len(parts) > 1:
        n = 2 * parts[0].type.count
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [shuffle(b, x, y, list(range(n))) for x, y in pairs]
    return parts[0]


def call(b: Any, name: str, result: Any, *args: Any) -> Any:
    function = b.module.globals.get(name)
    if function is None:
        function = ir.Function(b.module, ir.FunctionType(result, [a.type for a in args]), name)
    return b.call(function, args)


def stack(b: Any, nbytes: int) -> Any:
    # Numba's own helper would clear it, byte by byte, which takes LLVM a minute.
    with b.goto_entry_block():
        memory = b.alloca(ir.ArrayType(I8, nbytes))
    memory.align = 64
    return b.ptrtoint(memory, I64)


def global_constant(b: Any, name: str, value: Any) -> Any:
    made = ir.GlobalVariable(b.module, value.type, b.module.get_unique_name(name))
    made.linkage, made.global_constant, made.initializer = "internal", True, value
    return made


# --- half precision ---------------------------------------------------------------------------


def load_f16(b: Any, address: Any) -> Any:
    return from_f16(b, load(b, V_I16, address))


def load_bf16(b: Any, address: Any) -> Any:
    bits = b.zext(load(b, V_I16, address), V_I32)
    return b.bitcast(b.shl(bits, constant(V_I32, 16)), V_F32)


def from_e8m0(b: Any, exponents: Any) -> Any:
    """Half the powers of two that 16 bytes are the exponents of (block_format.py)."""
    bits = b.shl(b.zext(exponents, V_I32), constant(V_I32, 23))
    least = constant(V_I32, 1 << 22)  # 2 ** -127 is no normal number
    bits = b.select(b.icmp_unsigned("<", bits, least), least, bits)
    return b.fmul(b.bitcast(bits, V_F32), constant(V_F32, 0.5))


def from_float8(b: Any, bits: Any) -> Any:
    """Half of what 16 bytes stand for as UE4M3 (block_format.py); their highest bit is 0."""
    halves = from_f16(b, b.shl(b.zext(bits, V_I16), constant(V_I16, 7)))
    return b.fmul(halves, constant(V_F32, 128.0))  # the exponent counts from elsewhere


def from_f16(b: Any, bits: Any) -> Any:
    if target.current().has_f16:
        return b.fpext(b.bitcast(bits, V_F16), V_F32)
    # Without F16C, LLVM's conversion calls a routine that a JIT does not find: integers do it.
    h = b.zext(bits, V_I32)
    shifted = b.shl(b.and_(h, constant(V_I32, 0x7FFF)), constant(V_I32, 13))
    # Rebiasing the exponent by a product is exact for subnormals too; inf and nan keep theirs.
    finite = b.bitcast(b.fmul(b.bitcast(shifted, V_F32), constant(V_F32, 2.0**112)), V_I32)
    special = b.or_(shifted, constant(V_I32, 0x7F800000))
    is_finite = b.icmp_unsigned("<", shifted, constant(V_I32, 0x7C00 << 13))
    sign = b.shl(b.and_(h, constant(V_I32, 0x8000)), constant(V_I32, 16))
    return b.bitcast(b.or_(b.select(is_finite, finite, special), sign), V_F32)


def to_f16(b: Any, x: Any) -> Any:
    if target.current().has_f16:
        return b.bitcast(b.fptrunc(x, V_F16), V_I16)
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
