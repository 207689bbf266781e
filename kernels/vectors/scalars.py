"""Single numbers at an address, which is a 64-bit integer and need not be aligned; the stack."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.deferred import intrinsic, types
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import F16, F32, F64, I8, I16, I32, I64, emits

_VOID, _ADDRESS = types.void, types.int64


@emits(types.float32(_ADDRESS))
def get_f32(b: Any, address: Any) -> Any:
    """The float at an address."""
    return emit.load(b, F32, address)


@emits(types.float64(_ADDRESS))
def get_f64(b: Any, address: Any) -> Any:
    """The double at an address."""
    return emit.load(b, F64, address)


@emits(types.float32(_ADDRESS))
def get_f16(b: Any, address: Any) -> Any:
    """The half-precision float at an address, widened."""
    if target.current().has_f16:
        return b.fpext(emit.load(b, F16, address), F32)
    wide = emit.from_f16(b, emit.splat(b, emit.load(b, I16, address)))
    return b.extract_element(wide, ir.Constant(I32, 0))


@emits(types.float32(_ADDRESS))
def get_e8m0(b: Any, address: Any) -> Any:
    """The power of two whose exponent is the byte at an address (block_format.py)."""
    wide = emit.from_e8m0(b, emit.splat(b, emit.load(b, I8, address)))
    return b.extract_element(wide, ir.Constant(I32, 0))


@emits(_VOID(_ADDRESS, types.float32))
def put_f16(b: Any, address: Any, x: Any) -> None:
    """Write a float as half precision, rounded to nearest even."""
    if target.current().has_f16:
        narrow = b.fptrunc(x, F16)
    else:
        narrow = b.extract_element(emit.to_f16(b, emit.splat(b, x)), ir.Constant(I32, 0))
    emit.store(b, narrow, address)


@emits(types.int32(_ADDRESS))
def get_i32(b: Any, address: Any) -> Any:
    """The 32-bit integer at an address."""
    return emit.load(b, I32, address)


@emits(types.int64(_ADDRESS))
def get_i64(b: Any, address: Any) -> Any:
    """The 64-bit integer at an address."""
    return emit.load(b, I64, address)


@emits(types.uint8(_ADDRESS))
def get_u8(b: Any, address: Any) -> Any:
    """The byte at an address."""
    return emit.load(b, I8, address)


@emits(types.uint16(_ADDRESS))
def get_u16(b: Any, address: Any) -> Any:
    """The 16-bit unsigned integer at an address."""
    return emit.load(b, I16, address)


def _put(number: Any) -> Any:
    """An intrinsic that writes a number of Numba's type `number` at an address."""

    def put(b: Any, address: Any, x: Any) -> None:
        emit.store(b, x, address)

    put.__name__ = put.__qualname__ = f"put_{number}"
    return emits(_VOID(_ADDRESS, number))(put)


put_f32, put_i32, put_i64 = _put(types.float32), _put(types.int32), _put(types.int64)
put_f64, put_u8, put_u16 = _put(types.float64), _put(types.uint8), _put(types.uint16)


@intrinsic(prefer_literal=True)
def stack(tc: Any, nbytes: Any) -> Any:
    """Address of so many bytes, aligned to 64, that last until the kernel returns."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return emit.stack(b, nbytes.literal_value)

    return _ADDRESS(nbytes), codegen
