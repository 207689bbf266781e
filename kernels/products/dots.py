"""The integer half of the matrix products: exact sums of codes times activations over a block.

A block is 32 inputs, or one half of them where the weights have a scale for 16. Three ways lead to
the same integers:

    packed    a 4-way byte dot product of the ISA (`vpdpbusd`, `vpmaddubsw`, `sdot`, plain vectors)
              on codes that are taken out of their planes on the fly
    expanded  the same, on codes that `expand` has made bytes before, for many tokens
    tiles     AMX: 16 tokens by 16 rows at once, on expanded codes

Codes that stand for values of a table become its entries, 16 bytes that a register holds.

A constant offset of the codes (8 in Q4_0, 32 in Q6_K, 128 where the ISA's dot product wants
unsigned weights) is folded into the sum's start by the activations' own sum. Tiles take signed
codes: for them `expand` takes the offset away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.deferred import intrinsic, types
from halfbyte.kernels.formats.registry import AS_READ
from halfbyte.kernels.layouts.activations import HALF_AT, RECORD_NBYTES, SUM_AT
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.amx import configure, tile_call, tile_memory
from halfbyte.kernels.vectors.emit import I8, I16, I32, I64, V_I16, V_I32, constant, emits, pack
from halfbyte.kernels.vectors.simd import Tile
from halfbyte.kernels.vectors.table_lookup import looked_up

PACKED, EXPANDED, TILED = range(3)  # the ways
NO_TABLE = 0  # the number of F32
WHOLE, FIRST, SECOND = range(3)  # which inputs of a block: 0..31, 0..15, 16..31
_GROUPS = (range(8), range(4), range(4, 8))  # by fours
TILE_TOKENS = 16
UNIT_NBYTES = 512  # of a block's expanded codes

# Bytes. Memory answers some hundred cycles later, in which a thread goes through 2 to 4 KiB.
_AHEAD = 8192

Load = Callable[[int], Any]


@intrinsic(prefer_literal=True)
def block_dots(
    tc: Any, codes: Any, stride: Any, record: Any, part: Any, low: Any, high: Any, table: Any,
    offset: Any, way: Any, r: Any, t: Any,
) -> Any:  # fmt: skip
    """A tile of r x t integer vectors: sum((code - offset) * q) over a part of a block.

    `codes` is the address of the block's planes of `low` and `high` bits, as panels.py has them,
    for r panels `stride` bytes apart, and `record` that of the first token's record; `part` is
    WHOLE, FIRST or SECOND. `table` is the number of a type whose table the codes go through first,
    or NO_TABLE. Where the way is not PACKED, `codes` is the address of expanded codes.
    TILED is for one panel and TILE_TOKENS tokens, and the tiles have been configured.
    """
    n_panels, n_tokens = r.literal_value, t.literal_value
    tile, half = Tile("i32", n_panels * n_tokens), part.literal_value
    planes = low.literal_value, high.literal_value
    entries = AS_READ[table.literal_value].entries
    is_signed = planes[0] == 8 or min(entries, default=0) < 0
    is_moved = bool(entries) and is_signed and _moves(way.literal_value)
    if is_moved:
        entries = _moved(entries)
    if way.literal_value == EXPANDED:
        planes, entries = (8, 0), ()

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        codes, stride, record = args[:3]
        if way.literal_value == TILED:
            return pack(b, _tile_dots(b, codes, record, half))
        if way.literal_value == PACKED and half != SECOND and n_tokens > 1:
            _prefetch(b, codes, stride, n_panels, sum(planes))
        sums = _starts(b, record, half, offset.literal_value, is_signed, n_tokens) * n_panels
        if planes == (2, 0) and half == WHOLE and not entries:
            return pack(b, _crumb_dots(b, sums, codes, stride, record, n_panels))
        for g in _GROUPS[half]:
            group = [unit_codes(b, codes, stride, panel, planes, entries, g)
                     for panel in range(n_panels)]  # fmt: skip
            x = b.add(record, ir.Constant(I64, 4 * g))
            _add_dots(b, sums, group, x, is_signed and not is_moved)
        return pack(b, sums)

    i64 = types.int64
    return tile(i64, i64, i64, part, low, high, table, offset, way, r, t), codegen


def _crumb_dots(
    b: Any, sums: list[Any], codes: Any, stride: Any, record: Any, n_panels: int
) -> list[Any]:
    """The sums of codes of 2 bits: every other code stays where it is, 4 times what is meant.

    So a vector is shifted once and not three times; what is 4 times too large is so at the end.
    """
    fours = [constant(V_I32, 0)] * len(sums)
    for g in range(8):
        at = b.add(codes, ir.Constant(I64, 64 * (g // 4)))
        loaded = [emit.load(b, ir.VectorType(I8, 64), at, stride, i) for i in range(n_panels)]
        group = [bits(b, x, g % 4 // 2 * 4, 3 << 2 * (g % 2)) for x in loaded]
        x = b.add(record, ir.Constant(I64, 4 * g))
        _add_dots(b, fours if g % 2 else sums, group, x, False)
    return [b.add(s, b.ashr(four, constant(V_I32, 2))) for s, four in zip(sums, fours, strict=True)]


def _prefetch(b: Any, codes: Any, stride: Any, n_panels: int, n_lines: int) -> None:
    """Ask for the cache lines that lie _AHEAD of a block's: few tokens wait for memory.

    They go to the L2 cache: the L1 has too few places for what is on its way. A single token reads
    so fast that the CPU asks ahead by itself.
    """
    hint = [ir.Constant(I32, n) for n in (0, 2, 1)]  # to read, for the L2 cache, data
    for panel in range(n_panels):
        start = b.add(codes, b.mul(stride, ir.Constant(I64, panel)))
        for i in range(n_lines):
            address = b.add(start, ir.Constant(I64, _AHEAD + 64 * i))
            emit.call(b, "llvm.prefetch.p0", ir.VoidType(), emit.pointer(b, address), *hint)


# --- codes ------------------------------------------------------------------------------------


def _moves(way: int) -> bool:
    """Whether signed entries of a table are made unsigned before codes are: tiles want them so."""
    isa = target.current().name
    return isa in UNSIGNED_DOT and (way == PACKED or isa != "amx")


def _moved(entries: tuple[int, ...]) -> tuple[int, ...]:
    """Signed bytes as those that are 128 more, written as signed ones again."""
    return tuple(entry + 128 if entry < 0 else entry - 128 for entry in entries)


def unit_codes(
    b: Any, address: Any, stride: Any, panel: int, planes: tuple[int, int],
    entries: tuple[int, ...], g: int,
) -> Any:  # fmt: skip
    """The codes of inputs 4g .. 4g + 3 of a block, or their entries of a table: one vector."""

    def load(i: int) -> Any:
        at = b.add(address, ir.Constant(I64, 64 * i))
        return emit.load(b, ir.VectorType(I8, 64), at, stride, panel)

    codes = _plane_codes(b, load, *planes, g)
    return looked_up(b, codes, entries) if entries else codes


def _plane_codes(b: Any, load: Load, low: int, high: int, g: int) -> Any:
    """The same from the planes of the block; `load(i)` gives vector i."""
    if low == 8:
        return load(g)
    if low == 1:
        return bits(b, load(0), g, 1)
    if low == 4:
        codes = bits(b, load(g % 4), 4 * (g // 4), 15)
    else:
        codes = bits(b, load(g // 4), 2 * (g % 4), 3)
    if high == 1:  # bit g of a byte, to the bit above the low plane's
        return b.or_(codes, bits(b, load(low), g - low, 1 << low))
    if high == 2:
        return b.or_(codes, bits(b, load(low + g // 4), 2 * (g % 4) - low, 3 << low))
    return codes


def bits(b: Any, x: Any, shift: int, mask: int) -> Any:
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


# --- vectors ----------------------------------------------------------------------------------


def _starts(b: Any, record: Any, part: int, offset: int, is_signed: bool, n: int) -> list[Any]:
    """What the sums of n tokens begin with: -offset * the sum of the activations."""
    if is_signed and target.current().name in UNSIGNED_DOT:
        offset += 128
    if offset == 0:
        return [constant(V_I32, 0)] * n

    def load(at: int, i: int) -> Any:
        address = b.add(record, ir.Constant(I64, at + RECORD_NBYTES * i))
        return emit.load(b, I16, address)

    starts = []
    for i in range(n):
        total = load(HALF_AT if part == FIRST else SUM_AT, i)
        if part == SECOND:
            total = b.sub(total, load(HALF_AT, i))
        starts.append(emit.splat(b, b.mul(b.sext(total, I32), ir.Constant(I32, -offset))))
    return starts


def _add_dots(b: Any, sums: list[Any], codes: list[Any], x: Any, is_signed: bool) -> None:
    """sums[panel, token] += the 4-way byte products of codes[panel] and 4 bytes of a token.

    Lane i takes bytes 4i .. 4i + 3 of the codes, which are signed bytes or else at most 127; x is
    the address of the first token's 4 signed bytes, within +-127, the same for every lane. Signed
    sums have begun with `_starts`.
    """
    isa = target.current().name
    n_tokens = len(sums) // len(codes)
    if is_signed and isa in UNSIGNED_DOT:
        codes = [b.xor(c, constant(c.type, -128)) for c in codes]
    for i in range(n_tokens):
        four = emit.load(b, I32, b.add(x, ir.Constant(I64, RECORD_NBYTES * i)))
        same = b.bitcast(emit.splat(b, four), codes[0].type)
        for panel, code in enumerate(codes):
            k = panel * n_tokens + i
            sums[k] = DOT[isa](b, sums[k], code, same, is_signed)


def _in_parts(dot: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Apply `dot` to each of `count` parts of the vectors and join the results."""

    def whole(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
        parts = zip(*(emit.split(b, v, count) for v in (acc, codes, x)), strict=True)
        return emit.join(b, [dot(b, *part, is_signed) for part in parts])

    return whole


def _dot_vnni(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    name = f"llvm.x86.avx512.vpdpbusd.{32 * acc.type.count}"
    return emit.call(b, name, acc.type, acc, codes, x)


def _dot_avx2(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    v16 = ir.VectorType(I16, 16)
    if is_signed:
        # vpmaddubsw wants one unsigned side and saturates: 128 * 127 * 2 still fits.
        x = emit.call(b, "llvm.x86.avx2.psign.b", x.type, x, codes)
        codes = emit.call(b, "llvm.abs.v32i8", codes.type, codes, ir.Constant(ir.IntType(1), 0))
    pairs = emit.call(b, "llvm.x86.avx2.pmadd.ub.sw", v16, codes, x)
    return b.add(acc, emit.call(b, "llvm.x86.avx2.pmadd.wd", acc.type, pairs, constant(v16, 1)))


def _dot_neon(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    return emit.call(b, "llvm.aarch64.neon.sdot.v4i32.v16i8", acc.type, acc, codes, x)


def _dot_generic(b: Any, acc: Any, codes: Any, x: Any, is_signed: bool) -> Any:
    # Two products of at most 128 * 127 fit 16 bits, which every SIMD unit multiplies.
    c, v = (
        [b.sext(emit.shuffle(b, y, y, list(range(k, 64, 4))), V_I16) for k in range(4)]
        for y in (codes, x)
    )
    p = [b.mul(c[k], v[k]) for k in range(4)]
    for pair in (b.add(p[0], p[1]), b.add(p[2], p[3])):
        acc = b.add(acc, b.sext(pair, V_I32))
    return acc


DOT: dict[str, Callable[..., Any]] = {
    "amx": _dot_vnni,
    "avx512vnni": _dot_vnni,
    "avxvnni": _in_parts(_dot_vnni, 2),
    "avx2": _in_parts(_dot_avx2, 2),
    "neon": _in_parts(_dot_neon, 4),
    "generic": _dot_generic,
}
UNSIGNED_DOT = ("amx", "avx512vnni", "avxvnni")


# --- tiles ------------------------------------------------------------------------------------

# Tile registers, as (rows, bytes of a row): sums, then activations and codes of a whole block and
# of half a block. Activations are a token a row; codes are 4 inputs of 16 rows of weights a row.
_SUMS, _X, _CODES, _X_HALF, _CODES_HALF = range(5)
_SHAPES = ((16, 64), (16, 32), (8, 64), (16, 16), (4, 64))


@emits(types.void())
def configure_tiles(b: Any) -> None:
    """Give this thread's tile registers their shapes; `release_tiles` must follow."""
    configure(b, _SHAPES)


@intrinsic(prefer_literal=True)
def expand(tc: Any, codes: Any, low: Any, high: Any, table: Any, offset: Any, out: Any) -> Any:
    """Write a block's codes of 16 rows as bytes, or their entries of a table (see block_dots).

    `offset` is taken away. UNIT_NBYTES.
    """
    planes, minus = (low.literal_value, high.literal_value), offset.literal_value
    entries = AS_READ[table.literal_value].entries
    if min(entries, default=0) < 0 and _moves(EXPANDED):
        entries = _moved(entries)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        stride = ir.Constant(I64, 0)
        for g in range(8):
            value = unit_codes(b, args[0], stride, 0, planes, entries, g)
            if minus:
                value = b.sub(value, constant(value.type, minus))
            emit.store(b, value, b.add(args[5], ir.Constant(I64, 64 * g)))
        return ctx.get_dummy_value()

    return types.void(types.int64, low, high, table, offset, types.int64), codegen


def _tile_dots(b: Any, codes: Any, record: Any, part: int) -> list[Any]:
    """The sums of 16 tokens and one panel."""
    x_tile, codes_tile = (_X, _CODES) if part == WHOLE else (_X_HALF, _CODES_HALF)
    if part == SECOND:
        codes = b.add(codes, ir.Constant(I64, UNIT_NBYTES // 2))
        record = b.add(record, ir.Constant(I64, 16))
    sums = emit.stack(b, 64 * TILE_TOKENS)
    tile_call(b, "tilezero", _SUMS)
    tile_memory(b, "tileloadd64", x_tile, record, RECORD_NBYTES)
    tile_memory(b, "tileloadd64", codes_tile, codes, 64)
    tile_call(b, "tdpbssd", _SUMS, x_tile, codes_tile)
    tile_memory(b, "tilestored64", _SUMS, sums, 64)
    at = [b.add(sums, ir.Constant(I64, 64 * i)) for i in range(TILE_TOKENS)]
    return [emit.load(b, V_I32, address) for address in at]
