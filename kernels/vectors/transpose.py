"""Squares of 16 x 16 numbers, turned in registers.

Four rounds of interleaving rows i and i + 8: each rotates the 8 bits of (row, column) by one.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from halfbyte.kernels.vectors.emit import (
    F32,
    I8,
    LANES,
    constant,
    emit_load,
    emit_shuffle,
    emit_store,
)

_LOW = [i // 2 + LANES * (i % 2) for i in range(LANES)]
_HIGH = [i + LANES // 2 for i in _LOW]
_BYTES = ir.VectorType(I8, LANES)


def _transpose(element: Any) -> Any:
    vector = ir.VectorType(element, LANES)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        rows = [emit_load(b, vector, args[0], args[1], i) for i in range(LANES)]
        for _ in range(4):
            pairs = zip(rows[:8], rows[8:], strict=True)
            rows = [emit_shuffle(b, x, y, lanes) for x, y in pairs for lanes in (_LOW, _HIGH)]
        for i, row in enumerate(rows):
            emit_store(b, row, args[2], args[3], i)
        return ctx.get_dummy_value()

    return types.void(*[types.int64] * 4), codegen


@intrinsic
def transpose_f32(tc: Any, source: Any, source_stride: Any, to: Any, to_stride: Any) -> Any:
    """16 rows of 16 floats, a stride apart, to 16 columns."""
    return _transpose(F32)


@intrinsic
def transpose_bytes(tc: Any, source: Any, source_stride: Any, to: Any, to_stride: Any) -> Any:
    """16 rows of 16 bytes, a stride apart, to 16 columns."""
    return _transpose(I8)


@intrinsic
def join_nibbles(tc: Any, low: Any, high: Any, to: Any) -> Any:
    """16 bytes of the low halves of 16 bytes and, above them, of 16 others."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        low, high = (emit_load(b, _BYTES, args[k]) for k in (0, 1))
        joined = b.or_(b.and_(low, constant(_BYTES, 15)), b.shl(high, constant(_BYTES, 4)))
        emit_store(b, joined, args[2])
        return ctx.get_dummy_value()

    return types.void(*[types.int64] * 3), codegen
