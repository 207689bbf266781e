"""Squares of 16 x 16 numbers, turned in registers, and parts of 16 rows that lie anywhere.

Squares take four rounds of interleaving rows i and i + 8: each rotates the 8 bits of (row, column)
by one. `sources` is where the addresses of 16 rows stand.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler.deferred import types
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import (
    F32,
    I8,
    I16,
    I32,
    I64,
    LANES,
    V_I8,
    V_I16,
    V_I32,
    constant,
    emits,
)

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


@emits(types.void(*[types.int64] * 4))
def turn_words(b: Any, sources: Any, offset: Any, to: Any, streams: Any) -> None:
    """4 words of 4 bytes at an offset in 16 rows, to 4 vectors of each row's.

    They go past the caches where that is wanted; `to` is then a multiple of 64.
    """
    kind = ir.VectorType(I32, 4)
    rows = [emit.load(b, kind, b.add(_source(b, sources, r), offset)) for r in range(LANES)]
    fours = [emit.join(b, rows[r : r + 4]) for r in range(0, LANES, 4)]
    turned = []
    for j in range(4):
        lanes = [4 * r + j for r in range(8)]
        halves = [emit.shuffle(b, fours[i], fours[i + 1], lanes) for i in (0, 2)]
        turned.append(emit.join(b, halves))
    _put(b, turned, to, streams)


@emits(types.int64(*[types.int64] * 6))
def turn_halves(
    b: Any, sources: Any, offset: Any, n_rows: Any, flipped: Any, exponent: Any, to: Any
) -> Any:
    """16 bits at an offset in 16 rows, to a vector, with some bits `flipped`; 0 beyond `n_rows`.

    Returns whether some have all bits of the `exponent`: NaN and infinity.
    """
    x = ir.Constant(V_I16, ir.Undefined)
    for r in range(LANES):
        half = emit.load(b, I16, b.add(_source(b, sources, r), offset))
        x = b.insert_element(x, half, ir.Constant(I32, r))
    exponents = emit.splat(b, b.trunc(exponent, I16))
    found = b.icmp_signed("==", b.and_(x, exponents), exponents)
    lane = ir.Constant(V_I32, list(range(LANES)))
    is_inside = b.icmp_signed("<", lane, emit.splat(b, b.trunc(n_rows, I32)))
    x = b.xor(x, emit.splat(b, b.trunc(flipped, I16)))
    emit.store(b, b.select(is_inside, x, constant(V_I16, 0)), to)
    return b.zext(b.icmp_signed("!=", b.bitcast(found, I16), ir.Constant(I16, 0)), I64)


def _source(b: Any, sources: Any, r: int) -> Any:
    return emit.load(b, I64, sources, ir.Constant(I64, 8), r)


@emits(types.void(*[types.int64] * 5))
def join_words(b: Any, low: Any, high: Any, shift: Any, to: Any, streams: Any) -> None:
    """Nibbles at a shift in the bytes of 16 words and, above them, of 16 others; see turn_words."""
    places, nibbles = emit.splat(b, b.trunc(shift, I32)), constant(V_I32, 0x0F0F0F0F)
    low, high = (b.and_(b.lshr(emit.load(b, V_I32, at), places), nibbles) for at in (low, high))
    _put(b, [b.or_(low, b.shl(high, constant(V_I32, 4)))], to, streams)


def _put(b: Any, vectors: list[Any], to: Any, streams: Any) -> None:
    places = [b.add(to, ir.Constant(I64, 64 * j)) for j in range(len(vectors))]
    with b.if_else(b.icmp_signed("!=", streams, ir.Constant(I64, 0))) as (then, otherwise):
        with then:
            for vector, place in zip(vectors, places, strict=True):
                emit.stream(b, vector, place)
        with otherwise:
            for vector, place in zip(vectors, places, strict=True):
                emit.store(b, vector, place)
