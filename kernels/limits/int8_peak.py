"""How many int8 products this machine adds up per second: the limit of prefill.

Every thread multiplies codes and activations that stay in its L1 cache, into as many independent
sums as the registers hold: by the ISA's dot product of vectors (dots.py), or by whole tiles of AMX.
Scales, minima and all else that a matrix product does beside are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.deferred import intrinsic, types
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.activations import RECORD_NBYTES
from halfbyte.kernels.pool import Pool, item_job
from halfbyte.kernels.products.dots import _add_dots
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.amx import TILE_NBYTES, release_tiles, tile_call, tile_memory
from halfbyte.kernels.vectors.emit import I64, V_I32, constant, emits, pack, unpack
from halfbyte.kernels.vectors.scalars import get_i64
from halfbyte.kernels.vectors.simd import Tile
from halfbyte.kernels.vectors.tiles import add_scaled, load_column, store_tile, zeros
from halfbyte.kernels.vectors.words import words

_N_SHARES = 64
_ARGS = words("n_shares data n records out")
_BLOCKS = 4  # of 32 inputs, around which the vectors' loop goes
_PANELS, _TOKENS = 4, 4  # with 32 vector registers; with 16 of half the width, one panel
_BLOCK_NBYTES = 8 * _PANELS * 64
_TILE_SHAPES_AT, _OUT_NBYTES = 4 * TILE_NBYTES, 64 * _PANELS * _TOKENS


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
            group = [emit.load(b, Tile("i8", 1).vector, address) for address in at]
            _add_dots(b, sums, group, b.add(args[2], ir.Constant(I64, 4 * g)), False)
        return pack(b, sums)

    return sums(sums, types.int64, types.int64, r), codegen


@emits(types.void(types.int64))
def begin_tiles(b: Any, data: Any) -> None:
    """Give the tiles their shapes; 0 to 3 are zero, 4 to 7 are loaded from `data`."""
    shapes = b.add(data, ir.Constant(I64, _TILE_SHAPES_AT))
    tile_call(b, "ldtilecfg", emit.pointer(b, shapes))
    for i in range(4):
        tile_call(b, "tilezero", i)
        address = b.add(data, ir.Constant(I64, i * TILE_NBYTES))
        tile_memory(b, "tileloadd64", 4 + i, address, 64)


@emits(types.void())
def add_tiles(b: Any) -> None:
    """Tiles 0 to 3 += the products of 4 and 5 with 6 and 7."""
    for i in range(4):
        tile_call(b, "tdpbssd", i, 4 + i // 2, 6 + i % 2)


@emits(types.void(types.int64))
def end_tiles(b: Any, out: Any) -> None:
    """Write tile 0."""
    tile_memory(b, "tilestored64", 0, out, 64)


def _dots_in_tiles(args, i):
    """AMX: n times 4 tiles, whose first is left at `out`."""
    data = get_i64(args + _ARGS.data)
    begin_tiles(data)
    for _ in range(get_i64(args + _ARGS.n)):
        add_tiles()
    end_tiles(get_i64(args + _ARGS.out) + i * _OUT_NBYTES)
    release_tiles()


def _dots_in_vectors(R: int, T: int) -> Callable[..., None]:
    def dots_in_vectors(args, i):
        codes, records = get_i64(args + _ARGS.data), get_i64(args + _ARGS.records)
        sums = no_sums(R, T)
        for k in range(get_i64(args + _ARGS.n)):
            block = k % _BLOCKS
            sums = add_block(sums, codes + block * _BLOCK_NBYTES,
                             records + block * T * RECORD_NBYTES, R)  # fmt: skip
        ones = load_column(codes + _BLOCKS * _BLOCK_NBYTES, 0, R)
        acc = add_scaled(zeros(R, T), sums, ones, codes + _BLOCKS * _BLOCK_NBYTES, 0, T)
        out = get_i64(args + _ARGS.out) + i * _OUT_NBYTES
        store_tile(acc, out, 64 * T, 64, 0, T, R, T)

    return dots_in_vectors


def int8_peak(pool: Pool, n: int = 2000, rounds: int = 30) -> float:
    """The most int8 multiply-adds per second of all threads of the pool together.

    It is the best of many short tries, as with the memory (bandwidth.py).
    """
    job, args, macs, kept = peak_job(n)
    seconds = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        pool.run(job, args)
        seconds.append(time.perf_counter() - begin)
    del kept
    return macs / min(seconds[1:])


def peak_job(n: int) -> tuple[Kernel, NDArray[np.int64], int, list[Any]]:
    """The job of n steps a share, its arguments, its multiply-adds, and the memory it works on.

    All codes and activations are 1; the last of the memory are the results, a row for each share:
    int32 with AMX, else float32, the sum of n products of each row and token.
    """
    out = np.zeros((_N_SHARES, _OUT_NBYTES // 4), np.int32)
    if target.current().name == "amx":
        data = np.ones(_TILE_SHAPES_AT + 64, np.int8)
        shapes = data[_TILE_SHAPES_AT:]
        shapes[:] = 0
        shapes[0] = 1  # the palette
        shapes[16:32:2], shapes[48:56] = 64, 16
        args = np.array([_N_SHARES, data.ctypes.data, n, 0, out.ctypes.data], np.int64)
        job = item_job(_dots_in_tiles, _ARGS, "peak.dots_in_tiles")
        return job, args, _N_SHARES * n * 4 * 16 * 16 * 64, [data, out]
    panels = _PANELS if target.current().tile[0] > 1 else 1
    codes = np.ones(_BLOCKS * _BLOCK_NBYTES + 64, np.int8)
    codes[-64:].view(np.float32)[:] = 1.0
    records = np.ones(_BLOCKS * _TOKENS * RECORD_NBYTES, np.int8)
    addresses = [codes.ctypes.data, n, records.ctypes.data, out.ctypes.data]
    args = np.array([_N_SHARES, *addresses], np.int64)
    macs = _N_SHARES * n * 32 * 16 * panels * _TOKENS
    item = _dots_in_vectors(panels, _TOKENS)
    job = item_job(item, _ARGS, f"peak.dots_in_vectors_{panels}")
    return job, args, macs, [codes, records, out]
