"""Exact dot products of the cache's codes: tiles of vectors of 16 keys, or 16 features of values.

A vector of codes is 64 bytes, 16 lanes of 4 neighbours. It meets 4 bytes of a row (a query, or the
weights of 4 positions), the same for every lane. All sums are exact in 32 bits on every ISA.

Weights of positions are two digits of 7 bits, which every ISA's dot product takes beside any byte,
or, for values of 4 bits, a byte: an ISA that has signed bytes only takes that in two halves.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.deferred import intrinsic, types
from halfbyte.kernels.products.dots import DOT, UNSIGNED_DOT, bits
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import (
    F32,
    I8,
    I32,
    I64,
    LANES,
    V_F32,
    V_I8,
    V_I32,
    constant,
    emits,
    pack,
    unpack,
)
from halfbyte.kernels.vectors.simd import F32x16, Tile, elementwise

_V_CODES = ir.VectorType(I8, 4 * LANES)
DIGIT = 128  # the base of digits
LARGEST_OF_DIGITS = DIGIT * DIGIT - 1
LARGEST_OF_BYTE = 253  # what was rounded away before, at most a half, is added to it
_SIGNED_ONLY = ("neon", "generic")


@intrinsic(prefer_literal=True)
def put_start(tc: Any, address: Any, total: Any, bits: Any) -> Any:
    """Write what dot products with keys begin with, from the sum of a row's own bytes.

    It takes away what they count too much: codes are doubled and 63 too large, or else bytes that
    are 128 too large where the ISA's dot product wants them unsigned.
    """
    unsigned = target.current().name in UNSIGNED_DOT
    offset = 63 if bits.literal_value == 4 else 128 * unsigned

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        emit.store(b, b.mul(b.trunc(args[1], I32), ir.Constant(I32, -offset)), args[0])
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64, bits), codegen


@intrinsic(prefer_literal=True)
def load_codes(tc: Any, address: Any, stride: Any, r: Any) -> Any:
    """r vectors of 64 bytes, `stride` bytes apart."""
    tile = Tile("i8", r.literal_value)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return pack(b, [emit.load(b, _V_CODES, args[0], args[1], i) for i in range(tile.n)])

    return tile(types.int64, types.int64, r), codegen


@intrinsic(prefer_literal=True)
def key_codes(tc: Any, nibbles: Any, pairs: Any, i: Any) -> Any:
    """Twice the codes of features 4i .. 4i + 3 of 16 (kv_pages.py), from their two vectors."""
    g = i.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        both = zip(unpack(b, args[0]), unpack(b, args[1]), strict=True)
        return pack(b, [
            b.or_(bits(b, low, 4 * (g % 2) - 1, 30), bits(b, high, 2 * g - 5, 96))
            for low, high in both
        ])  # fmt: skip

    return nibbles(nibbles, pairs, i), codegen


@elementwise
def low_values(b: Any, codes: Any) -> Any:
    """What the low 4 bits of each byte mean: an odd number within +-15."""
    twice = bits(b, codes, -1, 30)
    return b.sub(twice, constant(twice.type, 15))


@elementwise
def high_values(b: Any, codes: Any) -> Any:
    """The same of the high 4 bits."""
    twice = bits(b, codes, 3, 30)
    return b.sub(twice, constant(twice.type, 15))


@intrinsic(prefer_literal=True)
def start_sums(tc: Any, starts: Any, stride: Any, r: Any, t: Any) -> Any:
    """A tile of r x t sums that begin with each row's integer, from `starts` on."""
    tile, n_rows = Tile("i32", r.literal_value * t.literal_value), t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        loads = (emit.load(b, I32, args[0], args[1], i) for i in range(n_rows))
        return pack(b, [emit.splat(b, x) for x in loads] * r.literal_value)

    return tile(types.int64, types.int64, r, t), codegen


@intrinsic(prefer_literal=True)
def zero_sums(tc: Any, r: Any, t: Any) -> Any:
    """A tile of r x t sums of nothing."""
    tile = Tile("i32", r.literal_value * t.literal_value)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return pack(b, [constant(V_I32, 0)] * tile.n)

    return tile(r, t), codegen


@intrinsic(prefer_literal=True)
def add_key_dots(tc: Any, acc: Any, codes: Any, x: Any, stride: Any, are_bytes: Any, t: Any) -> Any:
    """acc[vector, row] += codes[vector] * the 4 signed bytes of each row at x, within +-127.

    Codes are at most 126, or whole bytes that are 128 too large; sums have begun with `put_start`.
    """
    whole, n_rows = bool(are_bytes.literal_value), t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, codes = unpack(b, args[0]), unpack(b, args[1])
        isa = target.current().name
        is_signed = whole and isa not in UNSIGNED_DOT
        if is_signed:
            codes = [b.xor(c, constant(c.type, -128)) for c in codes]
        for i in range(n_rows):
            same = _splat_four(b, args[2], args[3], i)
            for v, code in enumerate(codes):
                k = v * n_rows + i
                acc[k] = DOT[isa](b, acc[k], code, same, is_signed)
        return pack(b, acc)

    return acc(acc, codes, types.int64, types.int64, are_bytes, t), codegen


@intrinsic(prefer_literal=True)
def add_value_dots(
    tc: Any, acc: Any, codes: Any, weights: Any, stride: Any, are_bytes: Any, t: Any
) -> Any:
    """acc[vector, row] += codes[vector], signed, * the 4 weights of each row.

    Those are digits, or whole bytes for codes within +-15.
    """
    whole, n_rows = bool(are_bytes.literal_value), t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        acc, codes, isa = unpack(b, args[0]), unpack(b, args[1]), target.current().name
        for i in range(n_rows):
            four = emit.load(b, I32, args[2], args[3], i)
            for part in _halves(b, four) if whole and isa in _SIGNED_ONLY else (four,):
                same = b.bitcast(emit.splat(b, part), _V_CODES)
                for v, code in enumerate(codes):
                    k = v * n_rows + i
                    acc[k] = DOT[isa](b, acc[k], same, code, False)
        return pack(b, acc)

    return acc(acc, codes, types.int64, types.int64, are_bytes, t), codegen


def _halves(b: Any, four: Any) -> tuple[Any, Any]:
    """Four bytes up to 254 as two times four up to 127, whose sum they are."""
    half = b.and_(b.lshr(four, ir.Constant(I32, 1)), ir.Constant(I32, 0x7F7F7F7F))
    return half, b.sub(four, half)


def _splat_four(b: Any, address: Any, stride: Any, i: int) -> Any:
    return b.bitcast(emit.splat(b, emit.load(b, I32, address, stride, i)), _V_CODES)


@elementwise
def join_digits(b: Any, high: Any, low: Any) -> Any:
    """128 * high + low."""
    return b.add(b.mul(high, constant(V_I32, DIGIT)), low)


@intrinsic(prefer_literal=True)
def scaled_sums(tc: Any, sums: Any, scales: Any, stride: Any, t: Any) -> Any:
    """float(sums)[vector, row] * scale[row], each operation rounded once."""
    tile, n_rows = Tile("f32", sums.n), t.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        loads = (emit.load(b, F32, args[1], args[2], i) for i in range(n_rows))
        scales = [emit.splat(b, x) for x in loads]
        sums = enumerate(unpack(b, args[0]))
        return pack(b, [b.fmul(b.sitofp(x, V_F32), scales[k % n_rows]) for k, x in sums])

    return tile(sums, types.int64, types.int64, t), codegen


@emits(types.void(types.int64, F32x16))
def store_digits(b: Any, address: Any, x: Any) -> None:
    """16 floats from 0 to 16383, rounded to nearest even: 16 high digits, then the low ones."""
    (x,) = unpack(b, x)
    # Adding 2**23 leaves the rounded integer in the low bits, on every ISA alike.
    whole = b.bitcast(b.fadd(x, constant(V_F32, 8388608.0)), V_I32)
    high = b.and_(b.lshr(whole, constant(V_I32, 7)), constant(V_I32, 127))
    low = b.and_(whole, constant(V_I32, 127))
    emit.store(b, b.trunc(high, V_I8), address)
    emit.store(b, b.trunc(low, V_I8), b.add(address, ir.Constant(I64, LANES)))
