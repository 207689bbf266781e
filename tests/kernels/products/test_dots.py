"""Integer sums over a block against NumPy: exact, from every kind of planes, in every way."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.compiler import target
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.layouts.activations import RECORD_NBYTES
from halfbyte.kernels.products import dots
from halfbyte.kernels.products.dots import (
    EXPANDED,
    FIRST,
    NO_TABLE,
    PACKED,
    SECOND,
    TILE_TOKENS,
    TILED,
    UNIT_NBYTES,
    WHOLE,
    block_dots,
)
from halfbyte.kernels.vectors.amx import release_tiles
from halfbyte.kernels.vectors.scalars import stack
from halfbyte.kernels.vectors.tiles import add_scaled, load_column_f16, store_tile, zeros

Call = Callable[..., None]
PLANES = [(8, 0), (4, 0), (4, 1), (4, 2), (2, 0), (2, 1)]
# Panels and tokens at a time: those that the products of this ISA are compiled for, and the least.
ISA = target.current()
TILES = sorted({(1, 1), (ISA.tile[0], 1), ISA.tile, ISA.dot_tile[:2]})
INPUTS = {WHOLE: slice(0, 32), FIRST: slice(0, 16), SECOND: slice(16, 32)}
needs_amx = pytest.mark.skipif(target.current().name != "amx", reason="no AMX here")


def _planes(codes: np.ndarray, low: int, high: int) -> np.ndarray:
    """Codes (n, r, 32 inputs, 16 rows) as panels.py lays them out, put together bit by bit."""
    n, r = codes.shape[:2]
    by_fours = codes.reshape(n, r, 8, 4, 16).swapaxes(-1, -2)
    planes = np.zeros((n, r, low + high, 16, 4), np.uint8)
    for g in range(8):
        small, rest = by_fours[:, :, g] & ((1 << low) - 1), by_fours[:, :, g] >> low
        at, shift = {8: (g, 0), 4: (g % 4, g // 4 * 4), 2: (g // 4, g % 4 * 2)}[low]
        planes[:, :, at] |= (small << shift).astype(np.uint8)
        if high == 1:
            planes[:, :, low] |= (rest << g).astype(np.uint8)
        elif high == 2:
            planes[:, :, low + g // 4] |= (rest << (g % 4 * 2)).astype(np.uint8)
    return planes


def _records(rng: np.random.Generator, naive: ModuleType, n: int, t: int) -> np.ndarray:
    """Records (n, t) with the scale 1; the first half of them holds the largest numbers."""
    q = rng.integers(-127, 128, (n, t, 32))
    q[: n // 2] = rng.choice([-127, 127], (n // 2, t, 32))
    q[0], q[1], q[2] = 127, -127, np.tile([127, -127], 16)
    records = np.zeros((n, t), naive.RECORD)
    records["q"], records["d"] = q, 1
    records["sum"], records["half"] = q.sum(-1), q[..., :16].sum(-1)
    return records


@cache
def _kernel(
    low: int, high: int, part: int, offset: int, r: int, t: int, table: int = NO_TABLE
) -> Callable[..., None]:
    LOW, HIGH, PART, OFFSET, R, T, TABLE = low, high, part, offset, r, t, table
    NBYTES = 64 * (low + high)

    # Sums are below 2**24, so a scale of 1 shows them exactly as floats.
    def sums(planes, records, ones16, ones, out, n):
        for i in range(n):
            found = block_dots(planes + i * R * NBYTES, NBYTES, records + i * T * RECORD_NBYTES,
                               PART, LOW, HIGH, TABLE, OFFSET, PACKED, R, T)  # fmt: skip
            shown = add_scaled(zeros(R, T), found, load_column_f16(ones16, 0, R), ones, 0, T)
            store_tile(shown, out + 64 * R * T * i, 64, 64 * R, 0, T, R, T)

    return sums


@cache
def _expanded_kernel(
    low: int, high: int, part: int, offset: int, r: int, t: int, table: int = NO_TABLE
) -> Callable[..., None]:
    LOW, HIGH, PART, OFFSET, R, T, TABLE = low, high, part, offset, r, t, table
    NBYTES, ALL_NBYTES = 64 * (low + high), r * UNIT_NBYTES

    def sums(planes, records, ones16, ones, out, n):
        codes = stack(ALL_NBYTES)
        for i in range(n):
            for k in range(R):
                dots.expand(planes + (i * R + k) * NBYTES, LOW, HIGH, TABLE, 0,
                            codes + k * UNIT_NBYTES)  # fmt: skip
            found = block_dots(codes, UNIT_NBYTES, records + i * T * RECORD_NBYTES, PART, LOW,
                               HIGH, TABLE, OFFSET, EXPANDED, R, T)  # fmt: skip
            shown = add_scaled(zeros(R, T), found, load_column_f16(ones16, 0, R), ones, 0, T)
            store_tile(shown, out + 64 * R * T * i, 64, 64 * R, 0, T, R, T)

    return sums


@cache
def _tile_kernel(low: int, high: int, part: int, offset: int) -> Callable[..., None]:
    LOW, HIGH, PART, OFFSET, T = low, high, part, offset, TILE_TOKENS
    NBYTES = 64 * (low + high)

    def sums(planes, records, ones16, ones, out, n):
        expanded = stack(UNIT_NBYTES)
        dots.configure_tiles()
        for i in range(n):
            dots.expand(planes + i * NBYTES, LOW, HIGH, NO_TABLE, OFFSET, expanded)
            found = block_dots(expanded, 0, records + i * T * RECORD_NBYTES, PART, LOW, HIGH,
                               NO_TABLE, OFFSET, TILED, 1, T)  # fmt: skip
            shown = add_scaled(zeros(1, T), found, load_column_f16(ones16, 0, 1), ones, 0, T)
            store_tile(shown, out + 64 * T * i, 64, 64, 0, T, 1, T)
        release_tiles()

    return sums


def _check(
    call: Call, naive: ModuleType, kernel: Callable[..., None], planes: tuple[int, int], part: int,
    offset: int, r: int, t: int, table: tuple[int, ...] = (),
) -> None:  # fmt: skip
    n, (low, high) = 200, planes
    rng = np.random.default_rng(10)
    smallest, largest = (-128, 127) if low == 8 else (0, (1 << (low + high)) - 1)
    codes = rng.integers(smallest, largest + 1, (n, r, 32, 16))
    codes[: n // 2] = rng.choice([smallest, largest], (n // 2, r, 32, 16))
    codes[0], codes[1], codes[2] = smallest, smallest, largest
    records = _records(rng, naive, n, t)
    out = np.empty((n, t, r, 16), np.float32)
    call(kernel, _planes(codes, low, high), records, np.ones(16, np.float16),
         np.ones(1, np.float32), out, n)  # fmt: skip
    inputs = INPUTS[part]
    x = records["q"].astype(np.int64)[..., inputs]
    values = np.array(table)[codes] if table else codes - offset
    assert (out == np.einsum("nrkl,ntk->ntrl", values[:, :, inputs], x)).all()


@pytest.mark.parametrize("r, t", TILES)
@pytest.mark.parametrize("part", INPUTS)
@pytest.mark.parametrize("low, high", PLANES)
def test_sums_are_exact(
    call: Call, naive: ModuleType, low: int, high: int, part: int, r: int, t: int
) -> None:
    offset = 0 if low == 8 else 1 << (low + high - 1)
    for make in (_kernel, _expanded_kernel):
        kernel = make(low, high, part, offset, r, t)
        _check(call, naive, kernel, (low, high), part, offset, r, t)


@pytest.mark.parametrize("part", INPUTS)
def test_sums_of_entries_are_exact(call: Call, naive: ModuleType, part: int) -> None:
    fmt = FORMATS["MXFP4"]
    for make in (_kernel, _expanded_kernel):
        kernel = make(4, 0, part, fmt.bias, 2, 4, fmt.ggml_id)
        _check(call, naive, kernel, (4, 0), part, 0, 2, 4, fmt.table)


@needs_amx
@pytest.mark.parametrize("part", INPUTS)
@pytest.mark.parametrize("low, high", PLANES)
def test_sums_of_tiles_are_exact(
    call: Call, naive: ModuleType, low: int, high: int, part: int
) -> None:
    for offset in (0,) if low == 8 else (0, 1 << (low + high - 1)):
        kernel = _tile_kernel(low, high, part, offset)
        _check(call, naive, kernel, (low, high), part, offset, 1, TILE_TOKENS)
