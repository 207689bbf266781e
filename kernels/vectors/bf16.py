"""Pairs of bf16, which are floats rounded to their upper 16 bits, and sums of their products.

A block is 32 inputs, 16 pairs. Its first 16 inputs have one sum of products and its last 16 another
one, each by fused multiply-adds in ascending order from 0 on; then both are added. This is what an
instruction of AMX computes for a block, and two runs of AVX-512's do, if the inputs that form a
pair are chosen for it:

    TDPBF16PS   the lower halves of all pairs in a row, and the upper ones: pair p is (p, 16 + p)
    VDPBF16PS   the upper half of a pair, then its lower one: pair p is (2p + 1, 2p)

Everywhere else fused multiply-adds of floats give the same bits, on the second kind of pairs. Both
instructions take subnormal numbers for 0, which floats do not: so numbers below LEAST are 0 from
the start. Others are multiples of 2 ** -62, their products and sums of 2 ** -124, and none of them
is ever subnormal.

Source: TDPBF16PS and VDPBF16PS in Intel's manual, volume 2. VDPBF16PS has been tried on a Zen 4
with 24 million random pairs, sums near to what they cancel among them: it does as it is described,
and 0 is also what only rounding would make the least normal number.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.deferred import intrinsic, types
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import (
    I16,
    I32,
    I64,
    V_F32,
    V_I32,
    constant,
    emits,
    pack,
    unpack,
)
from halfbyte.kernels.vectors.simd import F32x16

INPUTS, PAIRS = 32, 16  # of a block
BLOCK_NBYTES = 64  # of a token's pairs; of 16 rows' weights it is 16 times as many
LEAST = 2.0**-55


class _BFloat(ir.Type):
    """LLVM's type of one, which llvmlite lacks."""

    intrinsic_name = "bf16"

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_V_BF16 = ir.VectorType(_BFloat(), 32)


def has_tiles() -> bool:
    """Whether AMX multiplies them."""
    return target.current().name == "amx" and _has("amx-bf16")


def instructions() -> str:
    """What multiplies them: "amx-bf16", "avx512bf16", or "floats" where it is neither."""
    if has_tiles():
        return "amx-bf16"
    return "avx512bf16" if _has("avx512bf16") else "floats"


def _has(feature: str) -> bool:
    return f"+{feature}" in target.target_features().split(",")


def pairs(*, tiled: bool) -> list[tuple[int, int]]:
    """The inputs of a block that form its pairs: (lower half, upper half)."""
    if tiled:
        return [(p, PAIRS + p) for p in range(PAIRS)]
    return [(2 * p + 1, 2 * p) for p in range(PAIRS)]


# --- LLVM code --------------------------------------------------------------------------------


def rounded(b: Any, low: Any, high: Any) -> Any:
    """Two vectors of floats as one of pairs, rounded to nearest even; NaN stays NaN."""
    if _has("avx512bf16"):
        name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
        halves = b.bitcast(emit.call(b, name, _V_BF16, high, low), ir.VectorType(I16, 32))
        lanes = [lane for i in range(emit.LANES) for lane in (i, emit.LANES + i)]
        return b.bitcast(emit.shuffle(b, halves, halves, lanes), V_I32)
    low, high = (_rounded_bits(b, x) for x in (low, high))
    return b.or_(b.lshr(low, constant(V_I32, 16)), b.and_(high, constant(V_I32, -65536)))


def _rounded_bits(b: Any, x: Any) -> Any:
    """Bits of floats whose upper halves are rounded."""
    bits = b.bitcast(x, V_I32)
    odd = b.and_(b.lshr(bits, constant(V_I32, 16)), constant(V_I32, 1))
    up = b.add(b.add(bits, constant(V_I32, 0x7FFF)), odd)
    quiet = b.or_(bits, constant(V_I32, 1 << 22))
    return b.select(b.fcmp_unordered("uno", x, x), quiet, up)


def without_tiny(b: Any, x: Any) -> Any:
    """x, or 0 where it is below LEAST."""
    magnitude = emit.call(b, "llvm.fabs.v16f32", V_F32, x)
    is_tiny = b.fcmp_ordered("<", magnitude, constant(V_F32, LEAST))
    return b.select(is_tiny, constant(V_F32, 0.0), x)


def _paired(b: Any, x0: Any, x1: Any, *, tiled: bool) -> tuple[Any, Any]:
    """Inputs 0 .. 15 and 16 .. 31 as those of all lower halves, and of all upper ones."""
    lanes = zip(*pairs(tiled=tiled), strict=True)
    low, high = (emit.shuffle(b, x0, x1, list(some)) for some in lanes)
    return low, high


def _halves(b: Any, x: Any) -> tuple[Any, Any]:
    """The lower and the upper halves of pairs, as floats."""
    low = b.shl(x, constant(V_I32, 16))
    return b.bitcast(low, V_F32), b.bitcast(b.and_(x, constant(V_I32, -65536)), V_F32)


def _add_products(b: Any, acc: Any, w: Any, x: Any) -> Any:
    """acc + the product of the upper halves, rounded once, + that of the lower ones, likewise."""
    if _has("avx512bf16"):
        name = "llvm.x86.avx512bf16.dpbf16ps.512"
        return emit.call(b, name, V_F32, acc, b.bitcast(w, _V_BF16), b.bitcast(x, _V_BF16))
    for left, right in zip(reversed(_halves(b, w)), reversed(_halves(b, x)), strict=True):
        acc = emit.call(b, "llvm.fma.v16f32", V_F32, left, right, acc)
    return acc


# --- intrinsics -------------------------------------------------------------------------------


@emits(types.void(F32x16, F32x16, types.int64))
def store_record(b: Any, x0: Any, x1: Any, record: Any) -> None:
    """Write a block of floats, two vectors, as this ISA's pairs: BLOCK_NBYTES."""
    vectors = [without_tiny(b, unpack(b, x)[0]) for x in (x0, x1)]
    emit.store(b, rounded(b, *_paired(b, *vectors, tiled=has_tiles())), record)


@emits(F32x16(types.int64))
def first_of_record(b: Any, record: Any) -> Any:
    """The first half of the block that `store_record` wrote."""
    return pack(b, [_unpaired(b, record)[0]])


@emits(F32x16(types.int64))
def second_of_record(b: Any, record: Any) -> Any:
    """Its other half."""
    return pack(b, [_unpaired(b, record)[1]])


def _unpaired(b: Any, record: Any) -> tuple[Any, Any]:
    low, high = _halves(b, emit.load(b, V_I32, record))
    if has_tiles():
        return low, high
    lanes = [lane for i in range(emit.LANES) for lane in (emit.LANES + i, i)]
    first, second = lanes[: emit.LANES], lanes[emit.LANES :]
    return emit.shuffle(b, low, high, first), emit.shuffle(b, low, high, second)


@intrinsic(prefer_literal=True)
def add_block(tc: Any, acc: Any, w: Any, w_stride: Any, x: Any, t: Any) -> Any:
    """acc[panel, token] += a block of 16 rows' weights times one of each token.

    w: address of the first panel's 16 vectors of pairs, one pair of 16 rows each, of panels that
    are `w_stride` bytes apart; x: address of the first of t tokens' blocks. Not for AMX's pairs.
    """
    n_tokens = t.literal_value
    n_panels = acc.n // n_tokens

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        halves = [_half_sums(b, args[1:4], p, n_panels, n_tokens) for p in (0, PAIRS // 2)]
        sums = (b.fadd(first, last) for first, last in zip(*halves, strict=True))
        return pack(b, [b.fadd(a, s) for a, s in zip(unpack(b, args[0]), sums, strict=True)])

    return acc(acc, types.int64, types.int64, types.int64, t), codegen


def _half_sums(b: Any, args: Any, first: int, n_panels: int, n_tokens: int) -> list[Any]:
    """The sums of 8 pairs for each panel and token."""
    w, w_stride, x = args
    sums = [constant(V_F32, 0.0)] * (n_panels * n_tokens)
    for p in range(first, first + PAIRS // 2):
        at = b.add(w, ir.Constant(I64, BLOCK_NBYTES * p))
        weights = [emit.load(b, V_I32, at, w_stride, i) for i in range(n_panels)]
        for i in range(n_tokens):
            at = b.add(x, ir.Constant(I64, BLOCK_NBYTES * i + 4 * p))
            same = emit.splat(b, emit.load(b, I32, at))
            for panel, w_pair in enumerate(weights):
                k = panel * n_tokens + i
                sums[k] = _add_products(b, sums[k], w_pair, same)
    return sums
