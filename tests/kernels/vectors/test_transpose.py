"""Squares of numbers, turned; against NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from halfbyte.kernels.vectors.transpose import join_nibbles, transpose_bytes, transpose_f32

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
