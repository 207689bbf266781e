"""Squares of 16 x 16 numbers, turned in registers.

Four rounds of interleaving rows i and i + 8: each rotates the 8 bits of (row, column) by one.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler.deferred import types
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import F32, I8, LANES, V_I8, constant, emits

_LOW = [i // 2 + LANES * (i % 2) for i in range(LANES)]
_HIGH = [i + LANES // 2 for i in _LOW]


def _transpose(b: Any, element: Any, source: Any, source_stride: Any, to: Any, stride: Any) -> None:
    vector = ir.VectorType(element, LANES)
    rows = [emit.load(b, vector, source, source_stride, i) for i in range(LANES)]
    for _ in range(4):
        pairs = zip(rows[:8], rows[8:], strict=True)
        rows = [emit.shuffle(b, x, y, lanes) for x, y in pairs for lanes in (_LOW, _HIGH)]
    for i, row in enumerate(rows):
        emit.store(b, row, to, stride, i)


@emits(types.void(*[types.int64] * 4))
def transpose_f32(b: Any, source: Any, source_stride: Any, to: Any, to_stride: Any) -> None:
    """16 rows of 16 floats, a stride apart, to 16 columns."""
    _transpose(b, F32, source, source_stride, to, to_stride)


@emits(types.void(*[types.int64] * 4))
def transpose_bytes(b: Any, source: Any, source_stride: Any, to: Any, to_stride: Any) -> None:
    """16 rows of 16 bytes, a stride apart, to 16 columns."""
    _transpose(b, I8, source, source_stride, to, to_stride)


@emits(types.void(*[types.int64] * 3))
def join_nibbles(b: Any, low: Any, high: Any, to: Any) -> None:
    """16 bytes of the low halves of 16 bytes and, above them, of 16 others."""
    low, high = emit.load(b, V_I8, low), emit.load(b, V_I8, high)
    joined = b.or_(b.and_(low, constant(V_I8, 15)), b.shl(high, constant(V_I8, 4)))
    emit.store(b, joined, to)
