"""Register tiles of the matrix products: panels x tokens sums, fed by one operation at a time.

LLVM splits the vectors into the registers that there are (simd.py). The integer dot products, which
each ISA makes in its own way, are in dots.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler.deferred import intrinsic, types
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import F32, I16, I64, V_F32, V_I8, V_I32, constant, pack, unpack
from halfbyte.kernels.vectors.simd import Tile


@intrinsic(prefer_literal=True)
def zeros(tc: Any, r: Any, t: Any) -> Any:
    """A tile of r x t float vectors, all zero; r and t are constants."""
    tile = Tile("f32", r.literal_value * t.literal_value)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return pack(b, [constant(tile.vector, 0.0)] * tile.n)

    return tile(r, t), codegen


@intrinsic(prefer_literal=True)
def add_scaled(tc: Any, acc: Any, dots: Any, d: Any, s: Any, stride: Any, t: Any) -> Any:
    """acc[panel, token] += float(dots) * (d[panel] * s[token]).

    d: a tile of the weights' scales; s: address of the token's float scale.
    """
    n_panels, n_tokens = d.n, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, dots, d = (unpack(b, args[k]) for k in range(3))
        scales = [emit.splat(b, emit.load(b, F32, args[3], args[4], i)) for i in range(n_tokens)]
        for panel in range(n_panels):
            for i in range(n_tokens):
                k = panel * n_tokens + i
                scale, value = b.fmul(d[panel], scales[i]), b.sitofp(dots[k], V_F32)
                acc[k] = emit.call(b, "llvm.fma.v16f32", V_F32, value, scale, acc[k])
        return pack(b, acc)

    return acc(acc, dots, d, types.int64, types.int64, t), codegen


@intrinsic(prefer_literal=True)
def add_minima_rest(
    tc: Any, acc: Any, m: Any, s: Any, sums: Any, halves: Any, stride: Any, t: Any
) -> Any:
    """acc[panel, token] += m[panel] * (s[token] * float(sums[token] - halves[token])).

    m: a tile of the weights' minima; s: address of the token's float scale; sums, halves: of its
    16-bit sums of a block and of the block's first half.
    """
    n_panels, n_tokens = m.n, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, m, stride = unpack(b, args[0]), unpack(b, args[1]), args[5]
        for i in range(n_tokens):
            total, half = (emit.load(b, I16, args[k], stride, i) for k in (3, 4))
            rest = b.sitofp(b.sub(total, half), F32)
            weight = emit.splat(b, b.fmul(emit.load(b, F32, args[2], stride, i), rest))
            for panel in range(n_panels):
                k = panel * n_tokens + i
                acc[k] = emit.call(b, "llvm.fma.v16f32", V_F32, m[panel], weight, acc[k])
        return pack(b, acc)

    i64 = types.int64
    return acc(acc, m, i64, i64, i64, i64, t), codegen


@intrinsic(prefer_literal=True)
def add_outer(tc: Any, acc: Any, column: Any, x: Any, stride: Any, t: Any) -> Any:
    """acc[panel, token] += column[panel] * x[token], x the address of the first token's float."""
    n_panels, n_tokens = column.n, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, column = unpack(b, args[0]), unpack(b, args[1])
        for i in range(n_tokens):
            x = emit.splat(b, emit.load(b, F32, args[2], args[3], i))
            for panel in range(n_panels):
                k = panel * n_tokens + i
                acc[k] = emit.call(b, "llvm.fma.v16f32", V_F32, column[panel], x, acc[k])
        return pack(b, acc)

    return acc(acc, column, types.int64, types.int64, t), codegen


@intrinsic
def times(tc: Any, column: Any, x: Any) -> Any:
    """column[i] * x, a float for all."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        x = emit.splat(b, args[1])
        return pack(b, [b.fmul(c, x) for c in unpack(b, args[0])])

    return column(column, types.float32), codegen


@intrinsic
def add_products(tc: Any, acc: Any, column: Any, x: Any) -> Any:
    """acc[i] + column[i] * x, rounded once, of two tiles and one vector."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        (x,) = unpack(b, args[2])
        pairs = zip(unpack(b, args[0]), unpack(b, args[1]), strict=True)
        return pack(b, [emit.call(b, "llvm.fma.v16f32", V_F32, c, x, a) for a, c in pairs])

    return acc(acc, column, x), codegen


@intrinsic(prefer_literal=True)
def add_dots(tc: Any, acc: Any, column: Any, x: Any, stride: Any, t: Any) -> Any:
    """acc[panel, token] += column[panel] * x[token], lane by lane, x[token] a vector."""
    n_panels, n_tokens = column.n, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, column = unpack(b, args[0]), unpack(b, args[1])
        for i in range(n_tokens):
            x = emit.load(b, V_F32, args[2], args[3], i)
            for panel in range(n_panels):
                k = panel * n_tokens + i
                acc[k] = emit.call(b, "llvm.fma.v16f32", V_F32, column[panel], x, acc[k])
        return pack(b, acc)

    return acc(acc, column, types.int64, types.int64, t), codegen


@intrinsic(prefer_literal=True)
def save_sums(tc: Any, acc: Any, y: Any, token_stride: Any, r: Any, t: Any) -> Any:
    """y[token][panel] = the sum of acc's lanes, by halves; the number of panels is a power of 2."""
    n_panels, n_tokens = r.literal_value, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc = unpack(b, args[0])
        for i in range(n_tokens):
            sums = _lane_sums(b, [acc[panel * n_tokens + i] for panel in range(n_panels)])
            emit.store(b, sums, args[1], args[2], i)
        return ctx.get_dummy_value()

    return types.void(acc, types.int64, types.int64, r, t), codegen


def _lane_sums(b: Any, vectors: list[Any]) -> Any:
    """The sum of each vector's lanes: lane i with i + 8, then + 4, + 2, + 1, as simd.sum_lanes.

    Two at a time become one that holds the halves' sums of both, so that little work is doubled.
    """
    width, n_groups = emit.LANES, 1
    while width > 1:
        half, pairs = width // 2, len(vectors) > 1
        low = [g * width + i for g in range(n_groups) for i in range(half)]
        if pairs:
            low += [emit.LANES + lane for lane in low]
            n_groups *= 2
        high = [lane + half for lane in low]
        step = 1 + pairs
        vectors = [
            b.fadd(*(emit.shuffle(b, vectors[k], vectors[k + pairs], x) for x in (low, high)))
            for k in range(0, len(vectors), step)
        ]
        width = half
    return vectors[0]


def _column(name: str, convert: Callable[[Any, Any], Any]) -> Any:
    """An intrinsic: R vectors, `stride` bytes apart, each loaded by `convert(builder, address)`."""

    def typing(tc: Any, address: Any, stride: Any, r: Any) -> Any:
        tile = Tile("f32", r.literal_value)

        def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            starts = [b.add(args[0], b.mul(args[1], ir.Constant(I64, i))) for i in range(tile.n)]
            return pack(b, [convert(b, start) for start in starts])

        return tile(types.int64, types.int64, r), codegen

    typing.__name__ = typing.__qualname__ = name
    return intrinsic(prefer_literal=True)(typing)


def _byte_column(name: str, extend: Callable[[Any, Any], Any]) -> Any:
    def convert(b: Any, address: Any) -> Any:
        return b.sitofp(extend(b, emit.load(b, V_I8, address)), V_F32)

    return _column(name, convert)


load_column = _column("load_column", lambda b, address: emit.load(b, V_F32, address))
load_column_f16 = _column("load_column_f16", emit.load_f16)
load_column_bf16 = _column("load_column_bf16", emit.load_bf16)
load_column_e8m0 = _column(
    "load_column_e8m0", lambda b, address: emit.from_e8m0(b, emit.load(b, V_I8, address))
)
load_column_float8 = _column(
    "load_column_float8", lambda b, address: emit.from_float8(b, emit.load(b, V_I8, address))
)
load_column_i8 = _byte_column("load_column_i8", lambda b, x: b.sext(x, V_I32))
load_column_low = _byte_column(  # the low 4 bits of bytes
    "load_column_low", lambda b, x: b.zext(b.and_(x, constant(x.type, 15)), V_I32)
)
load_column_high = _byte_column(
    "load_column_high", lambda b, x: b.zext(b.lshr(x, constant(x.type, 4)), V_I32)
)


@intrinsic(prefer_literal=True)
def store_tile(
    tc: Any, acc: Any, y: Any, panel_stride: Any, token_stride: Any, add_to: Any, n: Any, r: Any,
    t: Any,
) -> Any:  # fmt: skip
    """y[panel, token] = acc, or y + acc where the integer `add_to` is not zero; tokens below n."""
    n_panels, n_tokens = r.literal_value, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc = unpack(b, args[0])
        adds = b.icmp_signed("!=", args[4], ir.Constant(I64, 0))

        def store(i: int) -> None:
            with b.if_else(adds) as (then, otherwise):
                for branch, is_sum in ((then, True), (otherwise, False)):
                    with branch:
                        for panel in range(n_panels):
                            start = b.add(args[1], b.mul(args[2], ir.Constant(I64, panel)))
                            value = acc[panel * n_tokens + i]
                            if is_sum:
                                value = b.fadd(emit.load(b, V_F32, start, args[3], i), value)
                            emit.store(b, value, start, args[3], i)

        store(0)
        for i in range(1, n_tokens):
            with b.if_then(b.icmp_signed(">", args[5], ir.Constant(I64, i))):
                store(i)
        return ctx.get_dummy_value()

    i64 = types.int64
    return types.void(acc, i64, i64, i64, i64, i64, r, t), codegen


@intrinsic(prefer_literal=True)
def save_tile(
    tc: Any, acc: Any, y: Any, panel_stride: Any, token_stride: Any, r: Any, t: Any
) -> Any:
    """y[panel, token] = acc, the whole tile."""
    n_panels, n_tokens = r.literal_value, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc = unpack(b, args[0])
        for panel in range(n_panels):
            start = b.add(args[1], b.mul(args[2], ir.Constant(I64, panel)))
            for i in range(n_tokens):
                emit.store(b, acc[panel * n_tokens + i], start, args[3], i)
        return ctx.get_dummy_value()

    i64 = types.int64
    return types.void(acc, i64, i64, i64, r, t), codegen


@intrinsic
def stream_column(tc: Any, column: Any, y: Any) -> Any:
    """Write a tile's vectors one after the other, past the caches, from a multiple of 64 bytes.

    Other threads see them behind the next atomic operation of this one.
    """

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        for i, vector in enumerate(unpack(b, args[0])):
            emit.stream(b, vector, b.add(args[1], ir.Constant(I64, 64 * i)))
        return ctx.get_dummy_value()

    return types.void(column, types.int64), codegen


@intrinsic(prefer_literal=True)
def load_tile(tc: Any, y: Any, panel_stride: Any, token_stride: Any, r: Any, t: Any) -> Any:
    """The tile that `save_tile` wrote."""
    n_panels, n_tokens = r.literal_value, t.literal_value
    tile = Tile("f32", n_panels * n_tokens)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        starts = [b.add(args[0], b.mul(args[1], ir.Constant(I64, p))) for p in range(n_panels)]
        at = [(start, i) for start in starts for i in range(n_tokens)]
        return pack(b, [emit.load(b, V_F32, start, args[2], i) for start, i in at])

    i64 = types.int64
    return tile(i64, i64, i64, r, t), codegen
