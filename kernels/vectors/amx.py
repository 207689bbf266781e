"""AMX's tile registers: 8 of 16 rows of 64 bytes, which each thread gives their shapes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler.deferred import intrinsic, types
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import I8, I64, emits

N_TILES, TILE_ROWS, TILE_NBYTES = 8, 16, 1024


def configure(b: Any, shapes: Sequence[tuple[int, int]]) -> None:
    """Give tiles their shapes, each (rows, bytes of a row); `release_tiles` must follow."""
    words = [0] * 64
    words[0] = 1  # the palette
    for i, (rows, nbytes) in enumerate(shapes):
        words[16 + 2 * i], words[48 + i] = nbytes, rows
    table = emit.global_constant(b, "tile_shapes", ir.Constant(ir.ArrayType(I8, 64), words))
    tile_call(b, "ldtilecfg", emit.pointer(b, b.ptrtoint(table, I64)))


def tile_call(b: Any, name: str, *args: Any) -> None:
    """An instruction of tiles, given by their numbers."""
    values = [ir.Constant(I8, a) if isinstance(a, int) else a for a in args]
    emit.call(b, f"llvm.x86.{name}", ir.VoidType(), *values)


def tile_memory(b: Any, name: str, tile: int, address: Any, stride: int) -> None:
    """One that loads or stores a tile whose rows are `stride` bytes apart."""
    tile_call(b, name, tile, emit.pointer(b, address), ir.Constant(I64, stride))


@emits(types.void())
def release_tiles(b: Any) -> None:
    """Make the tile registers empty again, which spares the system from saving them."""
    tile_call(b, "tilerelease")


# --- whole tiles, by literal numbers ----------------------------------------------------------


@emits(types.void())
def configure_whole_tiles(b: Any) -> None:
    """Give all tiles their largest shape; `release_tiles` must follow."""
    configure(b, [(TILE_ROWS, 64)] * N_TILES)


@intrinsic(prefer_literal=True)
def zero_tile(tc: Any, tile: Any) -> Any:
    """tile = 0."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        tile_call(b, "tilezero", tile.literal_value)
        return ctx.get_dummy_value()

    return types.void(tile), codegen


@intrinsic(prefer_literal=True)
def load_whole_tile(tc: Any, tile: Any, address: Any) -> Any:
    """The tile's 16 rows of 64 bytes, which lie one behind the other."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        tile_memory(b, "tileloadd64", tile.literal_value, args[1], 64)
        return ctx.get_dummy_value()

    return types.void(tile, types.int64), codegen


@intrinsic(prefer_literal=True)
def store_whole_tile(tc: Any, tile: Any, address: Any) -> Any:
    """Write what `load_whole_tile` reads."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        tile_memory(b, "tilestored64", tile.literal_value, args[1], 64)
        return ctx.get_dummy_value()

    return types.void(tile, types.int64), codegen


@intrinsic(prefer_literal=True)
def add_bf16_tiles(tc: Any, sums: Any, left: Any, right: Any) -> Any:
    """sums[m, n] += left[m] right[n], of pairs of bf16: TDPBF16PS.

    A pair's halves have a sum each, from 0 on, by fused multiply-adds over right's rows; both are
    added up, and that to what was there.
    """

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        tiles = (one.literal_value for one in (sums, left, right))
        tile_call(b, "tdpbf16ps", *tiles)
        return ctx.get_dummy_value()

    return types.void(sums, left, right), codegen
