"""Register tiles against NumPy: exact dot products, one rounding per step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels import tiles

Call = Callable[..., None]


@cache
def _columns(name: str, nbytes: int) -> Callable[..., None]:
    LOAD, NBYTES = getattr(tiles, name), nbytes

    def columns(source, out, n):
        for i in range(0, n, 2):
            pair = LOAD(source + 16 * NBYTES * i, 16 * NBYTES, 2)
            tiles.store_tile(pair, out + 64 * i, 64, 0, 0, 2, 1)

    return columns


@pytest.mark.parametrize("name", ["load_column_f16", "load_column_bf16"])
def test_columns_are_widened_exactly(call: Call, name: str) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    if name == "load_column_f16":
        expected = bits.view(np.float16).astype(np.float32)
    else:
        expected = (bits.astype(np.uint32) << 16).view(np.float32)
    out = np.empty(1 << 16, np.float32)
    call(_columns(name, 2), bits, out, 4096)
    assert np.array_equal(out, expected, equal_nan=True)


def test_columns_of_floats(call: Call) -> None:
    x = np.random.default_rng(13).standard_normal(256).astype(np.float32)
    out = np.empty_like(x)
    call(_columns("load_column", 4), x, out, 16)
    assert (out == x).all()


@cache
def _dot_kernel(signed: bool, offset: int, r: int, t: int) -> Callable[..., None]:
    SIGNED, OFFSET, R, T = int(signed), offset, r, t

    # Sums are below 2**24, so a scale of 1 shows them exactly as floats.
    def dots(codes, x, sums, ones16, ones, out, n):
        for i in range(n):
            acc = tiles.dot_start(sums + 4 * T * i, 4, OFFSET, R, T)
            tile = tiles.load_codes(codes + 64 * R * i, 64, R)
            at = x + 4 * T * i
            if SIGNED:
                acc = tiles.dot_signed(acc, tile, at, 4)
            else:
                acc = tiles.dot(acc, tile, at, 4)
            d = tiles.load_column_f16(ones16, 0, R)
            shown = tiles.add_scaled(tiles.zeros(R, T), acc, d, ones, 0, T)
            tiles.store_tile(shown, out + 64 * R * T * i, 64, 64 * R, 0, R, T)

    return dots


@pytest.mark.parametrize("r, t", [(1, 1), (2, 4), (3, 2)])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_dot_products_are_exact(call: Call, signed: bool, r: int, t: int) -> None:
    n = 2000
    low, high = (-128, 127) if signed else (0, 127)
    rng = np.random.default_rng(10)
    codes = rng.integers(low, high + 1, (n, r, 16, 4))
    x = rng.integers(-127, 128, (n, t, 4))
    # All products of a lane at their largest, of one sign and of both: saturation would show.
    codes[: n // 2] = rng.choice([low, high, 0, 15], (n // 2, r, 16, 4))
    x[: n // 2] = rng.choice([-127, 127], (n // 2, t, 4))
    codes[:4, ..., :], x[:4, ..., :] = low, np.array([127, -127, 127, -127])[:, None, None]
    codes[4:8, ..., :], x[4:8, ..., :] = high, np.array([127, -127, 127, -127])[:, None, None]
    sums = x.sum(-1).astype(np.int32)
    offset = 8
    out = np.empty((n, t, r, 16), np.float32)
    raw = codes.astype(np.int8 if signed else np.uint8)
    ones16, ones = np.ones(16, np.float16), np.ones(1, np.float32)
    total = offset + tiles.signed_offset() if signed else offset
    call(_dot_kernel(signed, total, r, t), raw, x.astype(np.int8), sums, ones16, ones, out, n)
    assert (out == np.einsum("nrlj,ntj->ntrl", codes - offset, x)).all()


@cache
def _plane_codes(low: int, high: int, g: int) -> Callable[..., None]:
    LOW, HIGH, G = low, high, g

    def plane_codes(planes, x, sums, ones16, ones, out):
        tile = tiles.load_codes_of(planes, 64 * (LOW + HIGH), LOW, HIGH, G, 2)
        acc = tiles.dot(tiles.dot_start(sums, 4, 0, 2, 1), tile, x, 0)
        d = tiles.load_column_f16(ones16, 0, 2)
        shown = tiles.add_scaled(tiles.zeros(2, 1), acc, d, ones, 0, 1)
        tiles.store_tile(shown, out, 64, 0, 0, 2, 1)

    return plane_codes


@pytest.mark.parametrize("low, high", [(4, 0), (4, 1), (4, 2), (2, 0), (2, 1)])
def test_codes_come_out_of_their_planes(call: Call, low: int, high: int) -> None:
    """Planes are put together here bit by bit, as panels.py states them."""
    codes = np.random.default_rng(11).integers(0, 1 << (low + high), (2, 8, 16, 4))
    planes = np.zeros((2, low + high, 16, 4), np.uint8)
    for g in range(8):
        small, rest = codes[:, g] & ((1 << low) - 1), codes[:, g] >> low
        at, shift = (g % 4, g // 4 * 4) if low == 4 else (g // 4, g % 4 * 2)
        planes[:, at] |= (small << shift).astype(np.uint8)
        if high == 1:
            planes[:, low] |= (rest << g).astype(np.uint8)
        elif high == 2:
            planes[:, low + g // 4] |= (rest << (g % 4 * 2)).astype(np.uint8)
    ones16, ones, out = (
        np.ones(16, np.float16),
        np.ones(1, np.float32),
        np.empty((2, 16), np.float32),
    )
    for g in range(8):
        for i in range(4):
            x = (np.arange(4) == i).astype(np.int8)
            call(_plane_codes(low, high, g), planes, x, np.zeros(1, np.int32), ones16, ones, out)
            assert (out == codes[:, g, :, i]).all(), (g, i)


def tile_sums(acc, codes, x, sums, d, m, scales, out, add):
    """A tile of 2 panels x 3 tokens: acc + codes * x * d * s, + m * s * sum, stored or added."""
    tile = tiles.load_codes(codes, 64, 2)
    dots = tiles.dot(tiles.dot_start(sums, 4, 0, 2, 3), tile, x, 4)
    total = tiles.zeros(2, 3)
    total = tiles.add_outer(total, tiles.load_column(acc, 64, 2), scales, 4, 3)
    total = tiles.add_scaled(total, dots, tiles.load_column_f16(d, 32, 2), scales, 4, 3)
    total = tiles.add_minima(total, tiles.load_column_f16(m, 32, 2), scales, sums, 4, 3)
    tiles.store_tile(total, out, 64, 128, add, 2, 3)


@pytest.mark.parametrize("add", [0, 1])
def test_tiles_add_up_with_one_rounding_per_step(call: Call, naive: ModuleType, add: int) -> None:
    rng = np.random.default_rng(12)
    column = rng.standard_normal(32).astype(np.float32)
    codes = rng.integers(0, 128, (32, 4)).astype(np.uint8)
    x = rng.integers(-127, 128, (3, 4)).astype(np.int8)
    sums = rng.integers(-4000, 4000, 3).astype(np.int32)
    d, m = (rng.standard_normal(32).astype(np.float16) for _ in range(2))
    scales = rng.standard_normal(3).astype(np.float32)
    before = rng.standard_normal((3, 32)).astype(np.float32)
    out = before.copy()
    call(tile_sums, column, codes, x, sums, d, m, scales, out, add)
    dots = (x.astype(np.int32) @ codes.astype(np.int32).T).astype(np.float32)
    s = scales[:, None]
    expected = naive.fma(column, s, np.float32(0))
    expected = naive.fma(dots, d.astype(np.float32) * s, expected)
    expected = naive.fma(m.astype(np.float32), s * sums[:, None].astype(np.float32), expected)
    assert (out == (before + expected if add else expected)).all()
