"""Blocks of packed weights as pairs of bf16 (bf16.py), which products in that arithmetic multiply.

A weight is what `lookup_kernel` and ggml make of its code, in float32, rounded to bf16. 32 inputs
of 16 rows are 16 vectors of pairs, one pair of each row.

Codes become floats without a conversion: the n bits of a code u, put to the top of a float's
mantissa, are 1 + u / 2^n. One fused multiply-add with 2^n d and -(2^n + offset) d gives d (u -
offset) of that, rounded once, since both factors are exact: d is a half-precision number times a
small integer. Where it is no such number (MXFP4, NVFP4), codes are converted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler.deferred import intrinsic, types
from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import AS_READ
from halfbyte.kernels.layouts.panels import PanelFormat
from halfbyte.kernels.products.dots import unit_codes
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.bf16 import (
    BLOCK_NBYTES,
    INPUTS,
    PAIRS,
    pairs,
    rounded,
    without_tiny,
)
from halfbyte.kernels.vectors.emit import I64, V_F32, V_I32, constant, unpack
from halfbyte.kernels.vectors.scalars import get_f32
from halfbyte.kernels.vectors.simd import mul
from halfbyte.kernels.vectors.tiles import (
    load_column_bf16,
    load_column_e8m0,
    load_column_f16,
    load_column_float8,
    load_column_high,
    load_column_i8,
    load_column_low,
    save_tile,
    times,
    zeros,
)

UNIT_NBYTES = BLOCK_NBYTES * PAIRS  # of a unit of 16 rows

Expand = Callable[..., None]


# --- scales of a unit: of its first 16 inputs and its last 16, then what is added to both ------
# `at` is the unit's number in the matrix of n units.


@device
def _scales_of_units(w, parts, n, at, FACTOR):
    d = load_column_f16(w + n * parts[0] + at * 32, 0, 1)
    m = load_column_f16(w + n * parts[1] + at * 32, 0, 1)
    return d, d, m, m


@device
def _scales_of_powers(w, parts, n, at, FACTOR):
    d = load_column_e8m0(w + n * parts[0] + at * 16, 0, 1)
    return d, d, d, d


@device
def _scales_of_2(w, parts, n, at, FACTOR):
    d = load_column_f16(w + n * parts[0] + at // 2 * 32, 0, 1)
    return d, d, d, d


@device
def _scales_of_4(w, parts, n, at, FACTOR):
    d = load_column_f16(w + n * parts[0] + at // 4 * 32, 0, 1)
    return d, d, d, d


@device
def _scales_of_8(w, parts, n, at, FACTOR):
    d = load_column_f16(w + n * parts[0] + at // 8 * 32, 0, 1)
    return d, d, d, d


@device
def _scales_super_32(w, parts, n, at, FACTOR):
    d = times(load_column_f16(w + n * parts[2] + at // 8 * 32, 0, 1), FACTOR)
    d = mul(d, load_column_i8(w + n * parts[0] + at * 16, 0, 1))
    m = load_column_f16(w + n * parts[3] + at // 8 * 32, 0, 1)
    m = mul(m, load_column_i8(w + n * parts[1] + at * 16, 0, 1))
    return d, d, m, m


@device
def _scales_super_16(w, parts, n, at, FACTOR):
    d = times(load_column_f16(w + n * parts[2] + at // 8 * 32, 0, 1), FACTOR)
    scales = w + n * parts[0] + at * 32
    d0 = mul(d, load_column_i8(scales, 0, 1))
    d1 = mul(d, load_column_i8(scales + 16, 0, 1))
    return d0, d1, d0, d1


@device
def _scales_q2_k(w, parts, n, at, FACTOR):
    d = load_column_f16(w + n * parts[2] + at // 8 * 32, 0, 1)
    m = load_column_f16(w + n * parts[3] + at // 8 * 32, 0, 1)
    both = w + n * parts[0] + at * 32
    return (mul(d, load_column_low(both, 0, 1)), mul(d, load_column_low(both + 16, 0, 1)),
            mul(m, load_column_high(both, 0, 1)),
            mul(m, load_column_high(both + 16, 0, 1)))  # fmt: skip


@device
def _scales_of_floats(w, parts, n, at, FACTOR):
    factor, scales = get_f32(w + n * parts[4]), w + n * parts[0] + at * 32
    d0 = times(load_column_float8(scales, 0, 1), factor)
    d1 = times(load_column_float8(scales + 16, 0, 1), factor)
    return d0, d1, d0, d1


_OF_WIDE_UNITS = {2: _scales_of_2, 4: _scales_of_4, 8: _scales_of_8}


def _scales(fmt: PanelFormat) -> Callable[..., Any]:
    """The function above that knows a format's."""
    if not fmt.is_super:
        if fmt.block_units > 1:
            return _OF_WIDE_UNITS[fmt.block_units]
        return _scales_of_powers if fmt.blocks.is_power else _scales_of_units
    if fmt.has_factor:
        return _scales_of_floats
    if fmt.n_subs == 1:
        return _scales_super_32
    return _scales_q2_k if fmt.shares_bytes else _scales_super_16


# --- a panel's units ----------------------------------------------------------------------------


def expansion(fmt: PanelFormat, *, tiled: bool) -> Expand:
    """A helper that writes blocks first .. last of 32 inputs of one panel as pairs.

    Its arguments: w, n_panels, n_units (as of a product), panel, first, last, out.
    """
    make = _of_codes if fmt.is_quantized else _of_floats
    function = make(fmt, int(tiled))
    function.__qualname__ = f"expand_bf16_{fmt.kernel_name}_{int(tiled)}"
    return device(function)


def _of_codes(fmt: PanelFormat, TILED: int) -> Expand:
    SCALES, PARTS, TYPE = _scales(fmt), fmt.parts, fmt.source.ggml_id
    NBYTES, FACTOR = 64 * fmt.bits, fmt.blocks.factor

    def expand(w, n_panels, n_units, panel, first, last, out):
        for unit in range(first, last):
            at = panel * n_units + unit
            d0, d1, m0, m1 = SCALES(w, PARTS, n_panels * n_units, at, FACTOR)
            store_pairs(w + at * NBYTES, d0, d1, m0, m1, out + (unit - first) * UNIT_NBYTES, TYPE,
                        TILED)  # fmt: skip

    return expand


def _of_floats(fmt: PanelFormat, TILED: int) -> Expand:
    KIND, NBYTES = ("F16", "BF16").index(fmt.name), 16 * fmt.source.block_nbytes

    def expand(w, n_panels, n_units, panel, first, last, out):
        floats = stack_of_floats()
        for unit in range(first, last):
            for i in range(INPUTS):
                k = INPUTS * unit + i
                column = zeros(1, 1)
                if k < n_units and KIND == 0:
                    column = load_column_f16(w + (panel * n_units + k) * NBYTES, 0, 1)
                elif k < n_units:
                    column = load_column_bf16(w + (panel * n_units + k) * NBYTES, 0, 1)
                save_tile(column, floats + 64 * i, 0, 0, 1, 1)
            store_float_pairs(floats, out + (unit - first) * UNIT_NBYTES, TILED)

    return expand


@intrinsic
def stack_of_floats(tc: Any) -> Any:
    """Room for 32 vectors of floats on the stack."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return emit.stack(b, 64 * INPUTS)

    return types.int64(), codegen


@intrinsic(prefer_literal=True)
def store_float_pairs(tc: Any, floats: Any, out: Any, tiled: Any) -> Any:
    """Write 32 vectors of floats, one an input, as pairs: UNIT_NBYTES."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        def value(k: int) -> Any:
            at = b.add(args[0], ir.Constant(I64, 64 * k))
            return without_tiny(b, emit.load(b, V_F32, at))

        _store(b, value, args[1], tiled=bool(tiled.literal_value))
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64, tiled), codegen


@intrinsic(prefer_literal=True)
def store_pairs(
    tc: Any, codes: Any, d0: Any, d1: Any, m0: Any, m1: Any, out: Any, kind: Any, tiled: Any
) -> Any:
    """Write a unit of 16 rows as pairs, UNIT_NBYTES: d (code - offset) + m.

    `codes` is the address of its planes (panels.py), `kind` the number of its type; d0 and m0 are
    those of the first 16 inputs, m of no meaning where a type has no minima.
    """
    fmt = AS_READ[kind.literal_value]
    is_plain = fmt.has_number and not fmt.is_power

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        scales, addends = ([unpack(b, x)[0] for x in args[k : k + 2]] for k in (1, 3))
        code = _Codes(b, args[0], fmt)
        terms = [code.terms(d) for d in scales] if is_plain else []

        def value(k: int) -> Any:
            half = k // PAIRS
            if is_plain:
                x = emit.call(b, "llvm.fma.v16f32", V_F32, code.in_mantissa(k), *terms[half])
            else:
                whole = b.sub(code.integer(k), constant(V_I32, code.offset))
                x = without_tiny(b, b.fmul(b.sitofp(whole, V_F32), scales[half]))
            return b.fadd(x, addends[half]) if fmt.addend else x

        _store(b, value, args[5], tiled=bool(tiled.literal_value))
        return ctx.get_dummy_value()

    return types.void(types.int64, d0, d1, m0, m1, types.int64, kind, tiled), codegen


def _store(b: Any, value: Callable[[int], Any], out: Any, *, tiled: bool) -> None:
    for p, (low, high) in enumerate(pairs(tiled=tiled)):
        emit.store(b, rounded(b, value(low), value(high)), b.add(out, ir.Constant(I64, 64 * p)))


class _Codes:
    """The codes of a unit, a vector of 16 rows an input, as they are asked for.

    Entries of a table take the place of codes; they are signed bytes.
    """

    def __init__(self, b: Any, address: Any, fmt: BlockFormat) -> None:
        self._b, self._address, self._planes = b, address, (fmt.low, fmt.high)
        self._entries, self.offset = fmt.table, 0 if fmt.table else fmt.offset
        self._is_signed = fmt.low == 8 or bool(fmt.table)
        self._n_bits = 8 if self._is_signed else fmt.bits
        self._vectors: dict[int, Any] = {}

    def terms(self, d: Any) -> tuple[Any, Any]:
        """What `in_mantissa` is multiplied by, and what is added, to give d (code - offset)."""
        one = 1 << self._n_bits
        down = -(one + self.offset + (128 if self._is_signed else 0))
        factors = (constant(V_F32, float(x)) for x in (one, down))
        up, down = (self._b.fmul(d, factor) for factor in factors)
        return up, down

    def _word(self, k: int) -> tuple[Any, int]:
        """32 bits a row, and from which of them on they have the code of input k."""
        b, g, low = self._b, k // 4, self._planes[0]
        if self._planes[1] == 0 and low < 8 and not self._entries:
            each = 8 // low  # codes of a byte
            vector, at = (g % 4, g // 4) if low == 4 else (g // each, g % each)
            if vector not in self._vectors:
                address = b.add(self._address, ir.Constant(I64, 64 * vector))
                self._vectors[vector] = emit.load(b, V_I32, address)
            return self._vectors[vector], 8 * (k % 4) + low * at
        if g not in self._vectors:
            stride = ir.Constant(I64, 0)
            codes = unit_codes(b, self._address, stride, 0, self._planes, self._entries, g)
            self._vectors[g] = b.bitcast(codes, V_I32)
        return self._vectors[g], 8 * (k % 4)

    def in_mantissa(self, k: int) -> Any:
        """1 + u / 2^n, where signed codes are 128 too large."""
        b, n = self._b, self._n_bits
        word, at = self._word(k)
        shift = at - (23 - n)
        if shift > 0:
            word = b.lshr(word, constant(V_I32, shift))
        elif shift < 0:
            word = b.shl(word, constant(V_I32, -shift))
        word = b.and_(word, constant(V_I32, ((1 << n) - 1) << (23 - n)))
        turned = 0x3F800000 + (1 << 22 if self._is_signed else 0)  # a byte's sign bit, and 1.0
        return b.bitcast(b.xor(word, constant(V_I32, turned)), V_F32)

    def integer(self, k: int) -> Any:
        """The code as it is."""
        b, n = self._b, self._n_bits
        word, at = self._word(k)
        top = b.shl(word, constant(V_I32, 32 - n - at))
        move = b.ashr if self._is_signed else b.lshr
        return move(top, constant(V_I32, 32 - n))
