"""Calls of kernels through their addresses: each kernel is compiled and cached alone.

Whoever calls does not know at compile time which kernel it will be: that depends on a matrix's
format, on the cache's type and on the number of tokens.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from halfbyte.kernels.vectors.emit import I64


@intrinsic
def call_job(tc: Any, function: Any, pool: Any, ticket: Any, args: Any, thread: Any) -> Any:
    """Call a kernel of four integers through its address."""
    return _indirect(4, types.void(*[types.int64] * 5))


@intrinsic
def call_matmul(tc: Any, function: Any, w: Any, n_panels: Any, n_units: Any, begin: Any, end: Any,
                x: Any, x_stride: Any, n_tokens: Any, y: Any, y_stride: Any, add: Any
                ) -> Any:  # fmt: skip
    """Call a matrix product (matmul.py) through its address."""
    return _indirect(11, types.void(*[types.int64] * 12))


@intrinsic
def call_lookup(tc: Any, function: Any, w: Any, n_panels: Any, n_units: Any, row: Any, out: Any
                ) -> Any:  # fmt: skip
    """Call a row lookup (lookup.py) through its address."""
    return _indirect(5, types.void(*[types.int64] * 6))


@intrinsic
def call_rope_append(tc: Any, function: Any, q: Any, k: Any, v: Any, table: Any, position: Any,
                     head: Any) -> Any:  # fmt: skip
    """Call a kernel of rope.py through its address."""
    return _indirect(6, types.void(*[types.int64] * 7))


@intrinsic
def call_attention(tc: Any, function: Any, q: Any, q_stride: Any, n_queries: Any, position: Any,
                   pages: Any, head_at: Any, out: Any, out_stride: Any, scratch: Any
                   ) -> Any:  # fmt: skip
    """Call a kernel of attention.py through its address."""
    return _indirect(9, types.void(*[types.int64] * 10))


@intrinsic
def call_pages(tc: Any, function: Any, q: Any, position: Any, pages: Any, head_at: Any, begin: Any,
               end: Any, partials: Any, stride: Any, scratch: Any) -> Any:  # fmt: skip
    """Call a pages kernel of attention.py through its address."""
    return _indirect(9, types.void(*[types.int64] * 10))


@intrinsic
def call_merge(tc: Any, function: Any, position: Any, partials: Any, stride: Any, out: Any
               ) -> Any:  # fmt: skip
    """Call a merge kernel of attention.py through its address."""
    return _indirect(4, types.void(*[types.int64] * 5))


def _indirect(n_args: int, signature: Any) -> Any:
    function_type = ir.FunctionType(ir.VoidType(), [I64] * n_args)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        b.call(b.inttoptr(args[0], function_type.as_pointer()), list(args[1:]))
        return ctx.get_dummy_value()

    return signature, codegen
