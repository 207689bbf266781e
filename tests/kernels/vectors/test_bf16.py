"""Rounding to bf16 and sums of products against NumPy, with `==`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from halfbyte.kernels.vectors import bf16
from halfbyte.kernels.vectors.bf16 import add_block, first_of_record, second_of_record, store_record
from halfbyte.kernels.vectors.simd import load, store
from halfbyte.kernels.vectors.tiles import load_tile, save_tile
from tests.kernels import bf16_twin

Call = Callable[..., None]
TILED = bf16.has_tiles()
LEAST = np.float32(2.0**-55)


def put_records(x, n, records):
    for i in range(n):
        store_record(load(x + 128 * i), load(x + 128 * i + 64), records + 64 * i)


def get_records(records, n, x):
    for i in range(n):
        store(x + 128 * i, first_of_record(records + 64 * i))
        store(x + 128 * i + 64, second_of_record(records + 64 * i))


def _stored(call: Call, x: np.ndarray) -> np.ndarray:
    records = np.zeros((len(x), 16), np.uint32)
    call(put_records, x, len(x), records)
    return records


def _numbers(rng: np.random.Generator, n: int) -> np.ndarray:
    """Floats of all exponents, ties and their neighbours, and what rounding makes of extremes."""
    bits = rng.integers(0, 1 << 32, (n, 32), dtype=np.uint32)
    bits[::3] = bits[::3] & 0xFFFF0000 | 0x8000  # halfway
    bits[1::7] += rng.integers(0, 3, bits[1::7].shape, dtype=np.uint32)
    x = bits.view(np.float32)
    x[~np.isfinite(x)] = 1
    x[0, :8] = [0, -0.0, LEAST, np.nextafter(LEAST, 0), -LEAST, 3.4e38, np.inf, -np.inf]
    return x


def test_records_are_rounded_to_nearest_even(call: Call) -> None:
    x = _numbers(np.random.default_rng(0), 3000)
    with np.errstate(over="ignore"):
        expected = bf16_twin.rounded(x)
    records = _stored(call, x)
    assert (records == bf16_twin.as_pairs(expected, bf16.pairs(tiled=TILED))).all()
    back = np.zeros_like(x)
    call(get_records, records, len(x), back)
    assert (back.view(np.uint32) == expected.view(np.uint32)).all()


# Those above as a CPU with tiles has them: kernels are told apart by their names.


def put_tile_records(x, n, records):
    for i in range(n):
        store_record(load(x + 128 * i), load(x + 128 * i + 64), records + 64 * i)


def get_tile_records(records, n, x):
    for i in range(n):
        store(x + 128 * i, first_of_record(records + 64 * i))
        store(x + 128 * i + 64, second_of_record(records + 64 * i))


def test_records_for_tiles(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tile_twin.py's products are given by NumPy is what rows become where there are tiles."""
    monkeypatch.setattr(bf16, "has_tiles", lambda: True)
    x = _numbers(np.random.default_rng(1), 300)
    with np.errstate(over="ignore"):
        expected = bf16_twin.rounded(x)
    records, back = np.zeros((len(x), 16), np.uint32), np.zeros_like(x)
    call(put_tile_records, x, len(x), records)
    assert (records == bf16_twin.as_pairs(expected, bf16.pairs(tiled=True))).all()
    call(get_tile_records, records, len(x), back)
    assert (back.view(np.uint32) == expected.view(np.uint32)).all()


def test_nan_stays_visible(call: Call) -> None:
    x = np.array([0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000] * 8, np.uint32).view(np.float32)
    back = np.zeros((1, 32), np.float32)
    call(get_records, _stored(call, x.reshape(1, 32)), 1, back)
    assert np.isnan(back).all()


def test_pairs_are_each_input_once() -> None:
    for tiled in (False, True):
        pairs = bf16.pairs(tiled=tiled)
        assert sorted(i for pair in pairs for i in pair) == list(range(32))
    # As the instructions of amx.py and of AVX-512 walk them.
    assert [low for low, _ in bf16.pairs(tiled=True)] == list(range(16))
    assert [i for low, high in bf16.pairs(tiled=False) for i in (high, low)] == list(range(32))


def add_blocks(w, x, n, y):
    for i in range(n):
        acc = load_tile(y + 512 * i, 256, 64, 2, 4)
        acc = add_block(acc, w + 2048 * i, 1024, x + 256 * i, 4)
        save_tile(acc, y + 512 * i, 256, 64, 2, 4)


@pytest.mark.parametrize("scale", [0, 3, 30])
def test_sums_are_the_twins(call: Call, scale: int) -> None:
    """Of numbers 2 ** -scale .. 2 ** scale apart, of which many nearly cancel."""
    rng, n = np.random.default_rng(scale), 500
    w = rng.standard_normal((n, 2, 16, 32)).astype(np.float32)
    x = rng.standard_normal((n, 4, 32)).astype(np.float32)
    w[..., 1::2] = -w[..., ::2]
    x[..., 1::2] = x[..., ::2] * rng.choice([1, 1 + 2.0**-7], x[..., ::2].shape)
    w, x = (a * np.exp2(rng.integers(-scale, scale + 1, a.shape)) for a in (w, x))
    w, x = (bf16_twin.rounded(a.astype(np.float32)) for a in (w, x))
    before = rng.standard_normal((n, 2, 4, 16)).astype(np.float32)
    # Rows of a panel are lanes, each with its own pair: [pair][row].
    pairs = bf16.pairs(tiled=False)
    packed = np.ascontiguousarray(bf16_twin.as_pairs(w, pairs).swapaxes(2, 3))
    y = before.copy()
    call(add_blocks, packed, bf16_twin.as_pairs(x, pairs), n, y)
    for i in range(n):
        rows = bf16_twin.matmul(w[i].reshape(32, 32), x[i])
        assert (y[i] == before[i] + rows.reshape(4, 2, 16).swapaxes(0, 1)).all()
