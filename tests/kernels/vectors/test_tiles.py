"""Register tiles against NumPy: one rounding per step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.layouts.activations import HALF_AT, SCALE_AT, SCALED_SUM_AT, SUM_AT
from halfbyte.kernels.products.dots import NO_TABLE, WHOLE, block_dots
from halfbyte.kernels.vectors import tiles

Call = Callable[..., None]


@cache
def _columns(name: str, nbytes: int) -> Callable[..., None]:
    LOAD, NBYTES = getattr(tiles, name), nbytes

    def columns(source, out, n):
        for i in range(0, n, 2):
            pair = LOAD(source + 16 * NBYTES * i, 16 * NBYTES, 2)
            tiles.store_tile(pair, out + 64 * i, 64, 0, 0, 1, 2, 1)

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


def tile_sums(acc, records, stride, codes, d, m, out, add, n):
    """A tile of 2 panels x 3 tokens: acc + dots * d * s, + m * s * sum, stored or added."""
    dots = block_dots(codes, 512, records, WHOLE, 8, 0, NO_TABLE, 0, 0, 2, 3)
    total = tiles.zeros(2, 3)
    total = tiles.add_outer(total, tiles.load_column(acc, 64, 2), records + SCALE_AT, stride, 3)
    total = tiles.add_scaled(total, dots, tiles.load_column_f16(d, 32, 2), records + SCALE_AT,
                             stride, 3)  # fmt: skip
    minima = tiles.load_column_f16(m, 32, 2)
    total = tiles.add_outer(total, minima, records + SCALED_SUM_AT, stride, 3)
    total = tiles.add_minima_rest(total, minima, records + SCALE_AT, records + SUM_AT,
                                  records + HALF_AT, stride, 3)  # fmt: skip
    tiles.store_tile(total, out, 64, 128, add, n, 2, 3)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("add", [0, 1])
def test_tiles_add_up_with_one_rounding_per_step(
    call: Call, naive: ModuleType, add: int, n: int
) -> None:
    rng = np.random.default_rng(12)
    column = rng.standard_normal(32).astype(np.float32)
    codes = rng.integers(-128, 128, (2, 8, 16, 4)).astype(np.int8)
    d, m = (rng.standard_normal(32).astype(np.float16) for _ in range(2))
    records = naive.quantize_activations(rng.standard_normal((3, 32)).astype(np.float32))
    before = rng.standard_normal((3, 32)).astype(np.float32)
    out = before.copy()
    call(tile_sums, column, records, records.itemsize, codes, d, m, out, add, n)
    x = records[0]["q"].astype(np.int32)
    weights = codes.transpose(0, 2, 1, 3).reshape(32, 32).astype(np.int32)
    dots = (x @ weights.T).astype(np.float32)
    s = records[0]["d"][:, None]
    total, rest = (v.astype(np.float32)[:, None] for v in (x.sum(-1), x[:, 16:].sum(-1)))
    expected = naive.fma(column, s, np.float32(0))
    expected = naive.fma(dots, d.astype(np.float32) * s, expected)
    expected = naive.fma(m.astype(np.float32), s * total, expected)
    expected = naive.fma(m.astype(np.float32), s * rest, expected)
    assert (out[:n] == (before + expected if add else expected)[:n]).all()
    assert (out[n:] == before[n:]).all()


def test_a_saved_tile_comes_back(call: Call) -> None:
    def there_and_back(x, out):
        tiles.save_tile(tiles.load_tile(x, 256, 64, 2, 4), out, 256, 64, 2, 4)

    x = np.random.default_rng(14).standard_normal((2, 4, 16)).astype(np.float32)
    out = np.zeros_like(x)
    call(there_and_back, x, out)
    assert (out == x).all()


def test_a_column_is_streamed_to_where_it_belongs(call: Call) -> None:
    def there(x, out):
        tiles.stream_column(tiles.load_column(x, 64, 2), out)

    x = np.random.default_rng(15).standard_normal((2, 16)).astype(np.float32)
    memory = np.zeros(64, np.float32)
    begin = -memory.ctypes.data % 64 // 4
    out = memory[begin : begin + 48]
    call(there, x, out)
    assert (out[:32] == x.ravel()).all()
    assert (out[32:] == 0).all()
