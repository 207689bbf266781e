"""Register tiles of the matrix products: panels x tokens sums, fed by one operation at a time.

Only the 4-way byte dot product has a body for each ISA, since LLVM does not find these
instructions by itself; everything else is split into registers by LLVM (simd.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import target
from .simd import (
    F32,
    I8,
    I16,
    I32,
    I64,
    V_F32,
    V_I16,
    V_I32,
    Tile,
    constant,
    emit_call,
    emit_load,
    emit_load_f16,
    emit_shuffle,
    emit_splat,
    emit_store,
    pack,
    unpack,
)


@intrinsic(prefer_literal=True)
def zeros(tc: Any, r: Any, t: Any) -> Any:
    """A tile of r x t float vectors, all zero; r and t are constants."""
    tile = Tile("f32", r.literal_value * t.literal_value)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return pack(b, [constant(tile.vector, 0.0)] * tile.n)

    return tile(r, t), codegen


@intrinsic(prefer_literal=True)
def load_codes(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """R vectors of 64 bytes, `stride` bytes apart."""
    tile = Tile("i8", r.literal_value)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return pack(b, [emit_load(b, tile.vector, args[0], args[1], i) for i in range(tile.n)])

    return tile(types.int64, types.int64, r), codegen


def _bits(b: Any, x: Any, shift: int, mask: int) -> Any:
    """Each byte moved right by `shift` bits (left where it is negative), then masked.

    No ISA shifts bytes: 16 bits are shifted, and the mask drops what came from the neighbour.
    """
    wide = ir.VectorType(I16, 32)
    x16 = b.bitcast(x, wide)
    if shift > 0:
        x16 = b.lshr(x16, constant(wide, shift))
    elif shift < 0:
        x16 = b.shl(x16, constant(wide, -shift))
    return b.bitcast(b.and_(x16, constant(wide, 0x0101 * mask)), x.type)


def _plane_codes(b: Any, load: Callable[[int], Any], low: int, high: int, g: int) -> Any:
    """The codes of inputs 4g .. 4g + 3 from the planes of a unit; `load(i)` gives vector i."""
    if low == 4:
        codes = _bits(b, load(g % 4), 4 * (g // 4), 15)
    else:
        codes = _bits(b, load(g // 4), 2 * (g % 4), 3)
    if high == 1:  # bit g of a byte, to the bit above the low plane's
        return b.or_(codes, _bits(b, load(low), g - low, 1 << low))
    if high == 2:
        return b.or_(codes, _bits(b, load(low + g // 4), 2 * (g % 4) - low, 3 << low))
    return codes


@intrinsic(prefer_literal=True)
def load_codes_of(tc: Any, address: Any, stride: Any, low: Any, high: Any, g: Any, r: Any) -> Any:
    """The codes of inputs 4g .. 4g + 3 of a unit, for R panels `stride` bytes apart.

    The unit's planes of `low` and `high` bits begin at `address`, as panels.py has them.
    """
    tile = Tile("i8", r.literal_value)
    shape = low.literal_value, high.literal_value, g.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        def codes(panel: int) -> Any:
            def load(i: int) -> Any:
                at = b.add(args[0], ir.Constant(I64, 64 * i))
                return emit_load(b, tile.vector, at, args[1], panel)

            return _plane_codes(b, load, *shape)

        return pack(b, [codes(panel) for panel in range(tile.n)])

    return tile(types.int64, types.int64, low, high, g, r), codegen


@intrinsic(prefer_literal=True)
def dot_start(tc: Any, sums: Any, stride: Any, offset: Any, r: Any, t: Any) -> Any:
    """A tile of r x t integer vectors: every lane of token i begins at -offset * sums[i].

    Folds a constant offset of the codes into the sum's start: sum((q - o) * x) = sum(q * x) - o *
    sum(x). `sums` is the address of the first token's 16-bit sum.
    """
    n_panels, n_tokens = r.literal_value, t.literal_value
    tile, minus = Tile("i32", n_panels * n_tokens), -offset.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if minus == 0:
            return pack(b, [constant(tile.vector, 0)] * tile.n)
        starts = []
        for i in range(n_tokens):
            total = b.sext(emit_load(b, I16, args[0], args[1], i), I32)
            starts.append(emit_splat(b, b.mul(total, ir.Constant(I32, minus))))
        return pack(b, starts * n_panels)

    return tile(types.int64, types.int64, offset, r, t), codegen


@intrinsic(prefer_literal=True)
def dot_start_rest(
    tc: Any, sums: Any, halves: Any, stride: Any, offset: Any, r: Any, t: Any
) -> Any:
    """As `dot_start` for the second half of a block, whose sum is sums[i] - halves[i]."""
    n_panels, n_tokens = r.literal_value, t.literal_value
    tile, minus = Tile("i32", n_panels * n_tokens), -offset.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if minus == 0:
            return pack(b, [constant(tile.vector, 0)] * tile.n)
        starts = []
        for i in range(n_tokens):
            total, half = (emit_load(b, I16, args[k], args[2], i) for k in (0, 1))
            rest = b.sext(b.sub(total, half), I32)
            starts.append(emit_splat(b, b.mul(rest, ir.Constant(I32, minus))))
        return pack(b, starts * n_panels)

    i64 = types.int64
    return tile(i64, i64, i64, offset, r, t), codegen


def _dot(is_signed: bool) -> Any:
    def typing(tc: Any, acc: Any, codes: Any, x: Any, stride: Any) -> Any:
        n_panels, n_tokens = codes.n, acc.n // codes.n

        def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            isa = target.current().name
            acc, codes = unpack(b, args[0]), unpack(b, args[1])
            if is_signed and isa in _UNSIGNED_DOT:
                codes = [b.xor(c, constant(c.type, -128)) for c in codes]
            for i in range(n_tokens):
                four = emit_load(b, I32, args[2], args[3], i)
                x = b.bitcast(emit_splat(b, four), codes[0].type)
                for panel in range(n_panels):
                    k = panel * n_tokens + i
                    acc[k] = _DOT[isa](b, acc[k], codes[panel], x, is_signed)
            return pack(b, acc)

        return acc(acc, codes, types.int64, types.int64), codegen

    return typing


@intrinsic
def dot(tc: Any, acc: Any, codes: Any, x: Any, stride: Any) -> Any:
    """acc[panel, token] += the 4-way byte products of codes[panel] and 4 bytes of a token.

    Codes are unsigned, at most 127; lane i takes bytes 4i..4i+3. x is the address of the first
    token's 4 signed bytes, which are within +-127; every lane gets the same 4.
    """
    return _dot(False)(tc, acc, codes, x, stride)


@intrinsic
def dot_signed(tc: Any, acc: Any, codes: Any, x: Any, stride: Any) -> Any:
    """As `dot` for signed codes; the sum must have begun with `dot_start` at SIGNED_OFFSET."""
    return _dot(True)(tc, acc, codes, x, stride)


def _halves(b: Any, x: Any, count: int) -> list[Any]:
    n = x.type.count // count
    return [emit_shuffle(b, x, x, list(range(i * n, (i + 1) * n))) for i in range(count)]


def _join(b: Any, parts: list[Any]) -> Any:
    while len(parts) > 1:
        n = 2 * parts[0].type.count
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [emit_shuffle(b, x, y, list(range(n))) for x, y in pairs]
    return parts[0]


def _in_parts(emit: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Apply `emit` to each of `count` parts of the vectors and join the results."""

    def whole(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
        parts = zip(*(_halves(b, v, count) for v in (acc, codes, x)), strict=True)
        return _join(b, [emit(b, *part, is_signed) for part in parts])

    return whole


def _dot_vnni512(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    return emit_call(b, "llvm.x86.avx512.vpdpbusd.512", acc.type, acc, codes, x)


def _dot_vnni256(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    return emit_call(b, "llvm.x86.avx512.vpdpbusd.256", acc.type, acc, codes, x)


def _dot_avx2(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    v16 = ir.VectorType(I16, 16)
    if is_signed:
        # vpmaddubsw wants one unsigned side and saturates: 128 * 127 * 2 still fits.
        x = emit_call(b, "llvm.x86.avx2.psign.b", x.type, x, codes)
        codes = emit_call(b, "llvm.abs.v32i8", codes.type, codes, ir.Constant(ir.IntType(1), 0))
    pairs = emit_call(b, "llvm.x86.avx2.pmadd.ub.sw", v16, codes, x)
    return b.add(acc, emit_call(b, "llvm.x86.avx2.pmadd.wd", acc.type, pairs, constant(v16, 1)))


def _dot_neon(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    return emit_call(b, "llvm.aarch64.neon.sdot.v4i32.v16i8", acc.type, acc, codes, x)


def _dot_generic(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    # Two products of at most 128 * 127 fit 16 bits, which every SIMD unit multiplies.
    c, v = (
        [b.sext(emit_shuffle(b, y, y, list(range(k, 64, 4))), V_I16) for k in range(4)]
        for y in (codes, x)
    )
    p = [b.mul(c[k], v[k]) for k in range(4)]
    for pair in (b.add(p[0], p[1]), b.add(p[2], p[3])):
        acc = b.add(acc, b.sext(pair, V_I32))
    return acc


_DOT: dict[str, Callable[..., Any]] = {
    "avx512vnni": _dot_vnni512,
    "avxvnni": _in_parts(_dot_vnni256, 2),
    "avx2": _in_parts(_dot_avx2, 2),
    "neon": _in_parts(_dot_neon, 4),
    "generic": _dot_generic,
}
_UNSIGNED_DOT = ("avx512vnni", "avxvnni")


def signed_offset() -> int:
    """What `dot_signed` adds to each code on this target, for `dot_start` to take away."""
    return 128 if target.current().name in _UNSIGNED_DOT else 0


@intrinsic(prefer_literal=True)
def add_scaled(tc: Any, acc: Any, dots: Any, d: Any, s: Any, stride: Any, t: Any) -> Any:
    """acc[panel, token] += float(dots) * (d[panel] * s[token]).

    d: a tile of the weights' scales; s: address of the token's float scale.
    """
    n_panels, n_tokens = d.n, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, dots, d = (unpack(b, args[k]) for k in range(3))
        scales = [emit_splat(b, emit_load(b, F32, args[3], args[4], i)) for i in range(n_tokens)]
        for panel in range(n_panels):
            for i in range(n_tokens):
                k = panel * n_tokens + i
                scale, value = b.fmul(d[panel], scales[i]), b.sitofp(dots[k], V_F32)
                acc[k] = emit_call(b, "llvm.fma.v16f32", V_F32, value, scale, acc[k])
        return pack(b, acc)

    return acc(acc, dots, d, types.int64, types.int64, t), codegen


def _add_minima(acc: Any, m: Any, t: Any, emit_sum: Callable[..., Any], n_addresses: int) -> Any:
    n_panels, n_tokens = m.n, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, m = unpack(b, args[0]), unpack(b, args[1])
        stride = args[2 + n_addresses]
        for i in range(n_tokens):
            s = emit_load(b, F32, args[2], stride, i)
            total = b.sitofp(emit_sum(b, args, stride, i), F32)
            weight = emit_splat(b, b.fmul(s, total))
            for panel in range(n_panels):
                k = panel * n_tokens + i
                acc[k] = emit_call(b, "llvm.fma.v16f32", V_F32, m[panel], weight, acc[k])
        return pack(b, acc)

    return acc(acc, m, *[types.int64] * (n_addresses + 1), t), codegen


@intrinsic(prefer_literal=True)
def add_minima(tc: Any, acc: Any, m: Any, s: Any, sums: Any, stride: Any, t: Any) -> Any:
    """acc[panel, token] += m[panel] * (s[token] * float(sums[token])).

    m: a tile of the weights' minima; s, sums: addresses of the token's scale and 16-bit sum.
    """

    def emit(b: Any, args: Any, stride: Any, i: int) -> Any:
        return emit_load(b, I16, args[3], stride, i)

    return _add_minima(acc, m, t, emit, 2)


@intrinsic(prefer_literal=True)
def add_minima_rest(
    tc: Any, acc: Any, m: Any, s: Any, sums: Any, halves: Any, stride: Any, t: Any
) -> Any:
    """As `add_minima` for the second half of a block, whose sum is sums - halves."""

    def emit(b: Any, args: Any, stride: Any, i: int) -> Any:
        return b.sub(*(emit_load(b, I16, args[k], stride, i) for k in (3, 4)))

    return _add_minima(acc, m, t, emit, 3)


@intrinsic(prefer_literal=True)
def add_outer(tc: Any, acc: Any, column: Any, x: Any, stride: Any, t: Any) -> Any:
    """acc[panel, token] += column[panel] * x[token], x the address of the first token's float."""
    n_panels, n_tokens = column.n, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, column = unpack(b, args[0]), unpack(b, args[1])
        for i in range(n_tokens):
            x = emit_splat(b, emit_load(b, F32, args[2], args[3], i))
            for panel in range(n_panels):
                k = panel * n_tokens + i
                acc[k] = emit_call(b, "llvm.fma.v16f32", V_F32, column[panel], x, acc[k])
        return pack(b, acc)

    return acc(acc, column, types.int64, types.int64, t), codegen


def _column(convert: Callable[[Any, Any], Any]) -> Any:
    def typing(tc: Any, address: Any, stride: Any, r: Any) -> Any:
        tile = Tile("f32", r.literal_value)

        def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
            starts = [b.add(args[0], b.mul(args[1], ir.Constant(I64, i))) for i in range(tile.n)]
            return pack(b, [convert(b, start) for start in starts])

        return tile(types.int64, types.int64, r), codegen

    return typing


@intrinsic(prefer_literal=True)
def load_column(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """R vectors of floats, `stride` bytes apart."""
    return _column(lambda b, address: emit_load(b, V_F32, address))(tc, address, stride, r)


@intrinsic(prefer_literal=True)
def load_column_f16(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """R vectors of half-precision floats, `stride` bytes apart, widened."""
    return _column(emit_load_f16)(tc, address, stride, r)


@intrinsic(prefer_literal=True)
def load_column_bf16(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """R vectors of bfloat16 numbers, `stride` bytes apart, widened."""

    def convert(b: Any, address: Any) -> Any:
        bits = b.zext(emit_load(b, V_I16, address), V_I32)
        return b.bitcast(b.shl(bits, constant(V_I32, 16)), V_F32)

    return _column(convert)(tc, address, stride, r)


def _byte_column(extend: Callable[[Any, Any], Any]) -> Any:
    def convert(b: Any, address: Any) -> Any:
        wide = extend(b, emit_load(b, ir.VectorType(I8, 16), address))
        return b.sitofp(wide, V_F32)

    return _column(convert)


@intrinsic(prefer_literal=True)
def load_column_i8(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """R vectors of signed bytes, `stride` bytes apart, as floats."""
    return _byte_column(lambda b, x: b.sext(x, V_I32))(tc, address, stride, r)


@intrinsic(prefer_literal=True)
def load_column_low(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """The low 4 bits of R vectors of bytes, `stride` bytes apart, as floats."""
    return _byte_column(lambda b, x: b.zext(b.and_(x, constant(x.type, 15)), V_I32))(
        tc, address, stride, r
    )


@intrinsic(prefer_literal=True)
def load_column_high(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """The high 4 bits of R vectors of bytes, likewise."""
    return _byte_column(lambda b, x: b.zext(b.lshr(x, constant(x.type, 4)), V_I32))(
        tc, address, stride, r
    )


@intrinsic(prefer_literal=True)
def store_tile(
    tc: Any, acc: Any, y: Any, panel_stride: Any, token_stride: Any, add_to: Any, r: Any, t: Any
) -> Any:
    """y[panel, token] = acc, or y + acc where the integer `add_to` is not zero."""
    n_panels, n_tokens = r.literal_value, t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc = unpack(b, args[0])
        adds = b.icmp_signed("!=", args[4], ir.Constant(I64, 0))
        with b.if_else(adds) as (then, otherwise):
            for branch, is_sum in ((then, True), (otherwise, False)):
                with branch:
                    for panel in range(n_panels):
                        start = b.add(args[1], b.mul(args[2], ir.Constant(I64, panel)))
                        for i in range(n_tokens):
                            value = acc[panel * n_tokens + i]
                            if is_sum:
                                value = b.fadd(emit_load(b, V_F32, start, args[3], i), value)
                            emit_store(b, value, start, args[3], i)
        return ctx.get_dummy_value()

    i64 = types.int64
    return types.void(acc, i64, i64, i64, i64, r, t), codegen
