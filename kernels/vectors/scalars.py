"""Single numbers at an address, which is a 64-bit integer and need not be aligned."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from halfbyte.kernels.compiler import target
from halfbyte.kernels.vectors.emit import (
    F16,
    F32,
    I8,
    I16,
    I32,
    I64,
    emit_from_f16,
    emit_load,
    emit_splat,
    emit_store,
    emit_to_f16,
)


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
        wide = emit_from_f16(b, emit_splat(b, emit_load(b, I16, args[0])))
        return b.extract_element(wide, ir.Constant(I32, 0))

    return types.float32(types.int64), codegen


@intrinsic
def put_f16(tc: Any, address: Any, x: Any) -> Any:
    """Write a float as half precision, rounded to nearest even."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if target.current().has_f16:
            narrow = b.fptrunc(args[1], F16)
        else:
            narrow = b.extract_element(emit_to_f16(b, emit_splat(b, args[1])), ir.Constant(I32, 0))
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
