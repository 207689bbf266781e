"""Squares of numbers, turned; against NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from halfbyte.kernels.vectors.scalars import put_i64
from halfbyte.kernels.vectors.transpose import (
    join_nibbles,
    join_words,
    transpose_bytes,
    transpose_f32,
    turn_halves,
    turn_words,
)

Call = Callable[..., None]


def _turn_floats(source, source_stride, to, to_stride):
    transpose_f32(source, source_stride, to, to_stride)


def _turn_bytes(source, source_stride, to, to_stride):
    transpose_bytes(source, source_stride, to, to_stride)


def _join(low, high, to):
    join_nibbles(low, high, to)


@pytest.mark.parametrize(
    ("function", "dtype"), [(_turn_floats, np.float32), (_turn_bytes, np.uint8)]
)
def test_a_square_is_turned_between_strides(call: Call, function: Call, dtype: type) -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (16, 19)).astype(dtype)
    to = np.zeros((16, 23), dtype)
    call(function, source, source.strides[0], to, to.strides[0])
    assert (to[:, :16] == source[:, :16].T).all()
    assert not to[:, 16:].any()


def test_nibbles_are_joined(call: Call) -> None:
    low, high = np.random.default_rng(1).integers(0, 256, (2, 16)).astype(np.uint8)
    out = np.zeros(16, np.uint8)
    call(_join, low, high, out)
    assert (out == ((low & 15) | (high & 15) << 4)).all()


def _turn_words(sources, offset, to, streams):
    turn_words(sources, offset, to, streams)


def _turn_halves(sources, offset, n_rows, flipped, to, found):
    put_i64(found, turn_halves(sources, offset, n_rows, flipped, 0x7C00, to))


def _join_words(low, high, shift, to, streams):
    join_words(low, high, shift, to, streams)


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """16 rows, and where they are."""
    rows = np.random.default_rng(2).integers(0, 256, (16, 99)).astype(np.uint8)[:, 3:43]
    return rows, rows.ctypes.data + rows.strides[0] * np.arange(16)


def _lines(nbytes: int) -> np.ndarray:
    """Memory at a multiple of 64."""
    room = np.zeros(nbytes + 64, np.uint8)
    at = -room.ctypes.data % 64
    return room[at : at + nbytes]


@pytest.mark.parametrize("streams", [0, 1])
def test_words_of_rows_that_lie_anywhere(
    call: Call, rows: tuple[np.ndarray, np.ndarray], streams: int
) -> None:
    out = _lines(256)
    call(_turn_words, rows[1], 7, out, streams)
    words = np.ascontiguousarray(rows[0][:, 7:23]).view(np.uint32)
    assert (out.view(np.uint32).reshape(4, 16) == words.T).all()


@pytest.mark.parametrize("n_rows", [0, 5, 16])
def test_halves_of_rows_that_lie_anywhere(
    call: Call, rows: tuple[np.ndarray, np.ndarray], n_rows: int
) -> None:
    values, addresses = rows
    out, found = np.ones(16, np.uint16), np.ones(1, np.int64)
    for flipped in (0, 0x8000):
        halves = np.ascontiguousarray(values[:, 1:3]).view("<u2")[:, 0]
        halves = np.where(halves & 0x7C00 == 0x7C00, 0, halves)
        values[:, 1:3] = halves[:, None].view(np.uint8)
        call(_turn_halves, addresses, 1, n_rows, flipped, out, found)
        assert (out[:n_rows] == halves[:n_rows] ^ flipped).all() and not out[n_rows:].any()
        assert found == 0
    for row in (0, 9, 15):
        values[row, 1:3] = 0x00, 0xFC
        call(_turn_halves, addresses, 1, 16, 0, out, found)
        assert found == 1
        values[row, 1:3] = 0


@pytest.mark.parametrize("streams", [0, 1])
def test_nibbles_of_words_are_joined(call: Call, streams: int) -> None:
    low, high = np.random.default_rng(3).integers(0, 2**32, (2, 16), dtype=np.uint32)
    out = _lines(64)
    for shift in (0, 4):
        call(_join_words, low, high, shift, out, streams)
        expected = (low >> shift) & 0x0F0F0F0F | ((high >> shift) & 0x0F0F0F0F) << 4
        assert (out.view(np.uint32) == expected).all()
