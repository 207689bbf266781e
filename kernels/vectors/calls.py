"""Calls of kernels through their addresses: each kernel is compiled and cached alone.

Whoever calls does not know at compile time which kernel it will be: that depends on a matrix's
format, on the cache's type and on the number of tokens.
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
    function_type = ir.FunctionType(ir.VoidType(), [I64] * n)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        kernel, integers = args
        values = [b.extract_value(integers, i) for i in range(n)]
        b.call(b.inttoptr(kernel, function_type.as_pointer()), values)
        return ctx.get_dummy_value()

    return types.void(types.int64, types.UniTuple(types.int64, n)), codegen
