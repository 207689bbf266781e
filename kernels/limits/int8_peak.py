"""How many int8 products this machine adds up per second: the limit of prefill.

Every thread multiplies codes and activations that stay in its L1 cache, into as many independent
sums as the registers hold: by the ISA's dot product of vectors (dots.py), or by whole tiles of AMX.
Scales, minima and all else that a matrix product does beside are left out.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.jit import Kernel, kernel
from halfbyte.kernels.layouts.activations import RECORD_NBYTES
from halfbyte.kernels.pool import Pool, finish, is_current, take
from halfbyte.kernels.products.dots import _add_dots, release_tiles
from halfbyte.kernels.vectors.emit import (
    I8,
    I64,
    V_I32,
    constant,
    emit_call,
    emit_load,
    pack,
    unpack,
)
from halfbyte.kernels.vectors.scalars import get_i64
from halfbyte.kernels.vectors.simd import Tile
from halfbyte.kernels.vectors.tiles import add_scaled, load_column, store_tile, zeros
from halfbyte.kernels.vectors.words import words

_CHUNKS = 64
_ARGS = words("data n records out")
_BLOCKS = 4  # of 32 inputs, around which the vectors' loop goes
_PANELS, _TOKENS = 4, 4  # with 32 vector registers; with 16 of half the width, one panel
_BLOCK_NBYTES = 8 * _PANELS * 64
_TILE_NBYTES = 1024  # of AMX, the largest: 16 rows of 64 bytes
_TILE_SHAPES_AT, _OUT_NBYTES = 4 * _TILE_NBYTES, 64 * _PANELS * _TOKENS


@intrinsic(prefer_literal=True)
def no_sums(tc: Any, r: Any, t: Any) -> Any:
    """A tile of r x t integer vectors, all zero."""
    tile = Tile("i32", r.literal_value * t.literal_value)

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return pack(b, [constant(V_I32, 0)] * tile.n)

    return tile(r, t), codegen


@intrinsic(prefer_literal=True)
def add_block(tc: Any, sums: Any, codes: Any, record: Any, r: Any) -> Any:
    """sums[panel, token] += the products of 32 inputs; the codes are bytes of at most 127."""
    n_panels = r.literal_value

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        sums = unpack(b, args[0])
        for g in range(8):
            at = [
                b.add(args[1], ir.Constant(I64, 64 * (g * n_panels + p))) for p in range(n_panels)
            ]
            group = [emit_load(b, Tile("i8", 1).vector, address) for address in at]
            _add_dots(b, sums, group, b.add(args[2], ir.Constant(I64, 4 * g)), False)
        return pack(b, sums)

    return sums(sums, types.int64, types.int64, r), codegen


def _tile_intrinsic(emit: Any) -> Any:
    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        def call(name: str, *words: Any) -> None:
            emit_call(b, f"llvm.x86.{name}", ir.VoidType(), *words)

        def pointer(offset: int) -> Any:
            return b.inttoptr(b.add(args[0], ir.Constant(I64, offset)), ir.PointerType())

        emit(call, pointer)
        return ctx.get_dummy_value()

    return types.void(types.int64), codegen


_STRIDE = ir.Constant(I64, 64)
_NUMBER = [ir.Constant(I8, i) for i in range(8)]


@intrinsic
def begin_tiles(tc: Any, data: Any) -> Any:
    """Give the tiles their shapes; 0 to 3 are zero, 4 to 7 are loaded from `data`."""

    def emit(call: Any, pointer: Any) -> None:
        call("ldtilecfg", pointer(_TILE_SHAPES_AT))
        for i in range(4):
            call("tilezero", _NUMBER[i])
            call("tileloadd64", _NUMBER[4 + i], pointer(i * _TILE_NBYTES), _STRIDE)

    return _tile_intrinsic(emit)


@intrinsic
def add_tiles(tc: Any, data: Any) -> Any:
    """Tiles 0 to 3 += the products of 4 and 5 with 6 and 7; `data` is not looked at."""

    def emit(call: Any, pointer: Any) -> None:
        for i in range(4):
            call("tdpbssd", _NUMBER[i], _NUMBER[4 + i // 2], _NUMBER[6 + i % 2])

    return _tile_intrinsic(emit)


@intrinsic
def end_tiles(tc: Any, out: Any) -> Any:
    """Write tile 0."""
    return _tile_intrinsic(lambda call, pointer: call(
        "tilestored64", _NUMBER[0], pointer(0), _STRIDE))  # fmt: skip


@kernel(4)
def dots_in_tiles(pool, first, args, thread):
    """Job: AMX, n times 4 tiles for each chunk, whose first tile is left at `out`."""
    data, n = get_i64(args + _ARGS.data), get_i64(args + _ARGS.n)
    out = get_i64(args + _ARGS.out)
    if not is_current(pool, first):
        return
    chunk = take(pool, first, _CHUNKS)
    while chunk >= 0:
        begin_tiles(data)
        for _ in range(n):
            add_tiles(data)
        end_tiles(out + chunk * _OUT_NBYTES)
        release_tiles()
        finish(pool, first, _CHUNKS)
        chunk = take(pool, first, _CHUNKS)


def _dots_in_vectors(R: int, T: int) -> Any:
    def dots_in_vectors(pool, first, args, thread):
        codes, n = get_i64(args + _ARGS.data), get_i64(args + _ARGS.n)
        records, out = get_i64(args + _ARGS.records), get_i64(args + _ARGS.out)
        if not is_current(pool, first):
            return
        chunk = take(pool, first, _CHUNKS)
        while chunk >= 0:
            sums = no_sums(R, T)
            for i in range(n):
                block = i % _BLOCKS
                sums = add_block(sums, codes + block * _BLOCK_NBYTES,
                                 records + block * T * RECORD_NBYTES, R)  # fmt: skip
            ones = load_column(codes + _BLOCKS * _BLOCK_NBYTES, 0, R)
            acc = add_scaled(zeros(R, T), sums, ones, codes + _BLOCKS * _BLOCK_NBYTES, 0, T)
            store_tile(acc, out + chunk * _OUT_NBYTES, 64 * T, 64, 0, T, R, T)
            finish(pool, first, _CHUNKS)
            chunk = take(pool, first, _CHUNKS)

    return dots_in_vectors


def int8_peak(pool: Pool, n: int = 20000, rounds: int = 5) -> float:
    """Median int8 multiply-adds per second of all threads of the pool together."""
    job, args, macs, kept = peak_job(n)
    seconds = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        pool.run(job, args)
        seconds.append(time.perf_counter() - begin)
    del kept
    return float(macs / np.median(seconds[1:]))


def peak_job(n: int) -> tuple[Kernel, NDArray[np.int64], int, list[Any]]:
    """The job of n steps a chunk, its arguments, its multiply-adds, and the memory it works on.

    All codes and activations are 1; the last of the memory are the results, a row for each chunk:
    int32 with AMX, else float32, the sum of n products of each row and token.
    """
    out = np.zeros((_CHUNKS, _OUT_NBYTES // 4), np.int32)
    if target.current().name == "amx":
        data = np.ones(_TILE_SHAPES_AT + 64, np.int8)
        shapes = data[_TILE_SHAPES_AT:]
        shapes[:] = 0
        shapes[0] = 1  # the palette
        shapes[16:32:2], shapes[48:56] = 64, 16
        args = np.array([data.ctypes.data, n, 0, out.ctypes.data], np.int64)
        return dots_in_tiles, args, _CHUNKS * n * 4 * 16 * 16 * 64, [data, out]
    panels = _PANELS if target.current().tile[0] > 1 else 1
    codes = np.ones(_BLOCKS * _BLOCK_NBYTES + 64, np.int8)
    codes[-64:].view(np.float32)[:] = 1.0
    records = np.ones(_BLOCKS * _TOKENS * RECORD_NBYTES, np.int8)
    args = np.array([codes.ctypes.data, n, records.ctypes.data, out.ctypes.data], np.int64)
    macs = _CHUNKS * n * 32 * 16 * panels * _TOKENS
    return _vector_job(panels), args, macs, [codes, records, out]


def _vector_job(panels: int) -> Kernel:
    return Kernel(_dots_in_vectors(panels, _TOKENS), 4, f"peak.dots_in_vectors_{panels}")
