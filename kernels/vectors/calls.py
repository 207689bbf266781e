"""Calls of kernels through their addresses: each kernel is compiled and cached alone.

Whoever calls does not know at compile time which kernel it will be: that depends on a matrix's
format, on the cache's type and on the number of tokens. Functions of the system are called so too.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler.deferred import intrinsic, types
from halfbyte.kernels.vectors.emit import I64


@intrinsic
def call(tc: Any, kernel: Any, *args: Any) -> Any:
    """Call the kernel at an address with its integers."""
    n = len(args)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        _call(b, ir.VoidType(), n, *args)
        return ctx.get_dummy_value()

    return types.void(types.int64, types.UniTuple(types.int64, n)), codegen


@intrinsic
def call_for_count(tc: Any, function: Any, *args: Any) -> Any:
    """Call a C function of integers and addresses that returns a 64-bit integer."""
    n = len(args)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return _call(b, I64, n, *args)

    return types.int64(types.int64, types.UniTuple(types.int64, n)), codegen


def _call(b: Any, result: Any, n: int, function: Any, integers: Any) -> Any:
    kind = ir.FunctionType(result, [I64] * n)
    values = [b.extract_value(integers, i) for i in range(n)]
    return b.call(b.inttoptr(function, kind.as_pointer()), values)
