"""Thin products against float64, and each row against itself in other company."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from halfbyte.kernels.layouts.activations import (
    BF16_RECORD_NBYTES,
    BLOCK,
    RECORD_NBYTES,
    SCALE_AT,
)
from halfbyte.kernels.products.low_rank import GROUP, KINDS, expand_kernel, shrink_kernel
from halfbyte.kernels.vectors.bf16 import has_tiles, pairs
from tests.kernels import bf16_twin

N_INPUTS, N_ROWS = 96, 7
F32 = NDArray[np.float32]


def rounded(x: F32, kind: str) -> tuple[NDArray[np.generic], F32]:
    """Numbers as a type has them, and what they are."""
    if kind == "BF16":
        bits = (x.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
        return bits, (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    stored = x.astype({"F32": np.float32, "F16": np.float16}[kind])
    return stored, stored.astype(np.float32)


def padded(x: NDArray[np.generic]) -> NDArray[np.generic]:
    """With room behind, which the kernels ask for ahead; and none of it counts."""
    return np.ascontiguousarray(x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["floats", "records", "bf16"])
def test_inner_products(kind: str, form: str) -> None:
    rng = np.random.default_rng(3)
    n_groups, n_blocks = 3, N_INPUTS // BLOCK
    stored, a = rounded(rng.standard_normal((n_groups * GROUP, N_INPUTS)).astype("f4"), kind)
    layout = padded(stored.reshape(n_groups, GROUP, n_blocks, BLOCK).swapaxes(1, 2))
    x = rng.standard_normal((N_ROWS, N_INPUTS)).astype(np.float32)
    memory: NDArray[np.generic] = x
    x_stride, block_stride = 4 * N_INPUTS, 0
    if form == "records":
        codes = rng.integers(-127, 128, (n_blocks, N_ROWS, BLOCK), dtype=np.int8)
        scales = rng.random((n_blocks, N_ROWS, 1), np.float32)
        records = np.zeros((n_blocks, N_ROWS, RECORD_NBYTES), np.uint8)
        records[..., :BLOCK] = codes.view(np.uint8)
        records[..., SCALE_AT : SCALE_AT + 4] = scales.view(np.uint8)
        memory, x_stride, block_stride = records, RECORD_NBYTES, N_ROWS * RECORD_NBYTES
        x = (codes * scales).swapaxes(0, 1).reshape(N_ROWS, -1)
    if form == "bf16":
        memory = bf16_twin.records(x, pairs(tiled=has_tiles()))
        x_stride, block_stride = BF16_RECORD_NBYTES, N_ROWS * BF16_RECORD_NBYTES
        x = bf16_twin.rounded(x)
    call, n = shrink_kernel(kind).call, n_groups * GROUP

    def shrink(begin: int, end: int, row: int, n_rows: int) -> F32:
        out = np.full((N_ROWS, n), np.nan, np.float32)
        call(layout.ctypes.data, n_blocks, begin, end, memory.ctypes.data + row * x_stride,
             x_stride, n_rows, block_stride, out[row:].ctypes.data, 4 * n)  # fmt: skip
        return out

    whole = shrink(0, n_groups, 0, N_ROWS)
    exact = x.astype(np.float64) @ a.T.astype(np.float64)
    assert np.abs(whole - exact).max() < 2e-6 * np.abs(exact).max() * N_INPUTS**0.5
    one = shrink(1, 2, 4, 1)
    assert (one[4, GROUP : 2 * GROUP] == whole[4, GROUP : 2 * GROUP]).all()
    assert np.isnan(one).sum() == one.size - GROUP


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [1, 2, 5, 8])
def test_what_is_added(kind: str, rank: int) -> None:
    rng = np.random.default_rng(rank)
    stored, b = rounded(rng.standard_normal((96, rank)).astype("f4"), kind)
    layout = padded(stored.reshape(3, 32, rank).swapaxes(1, 2))
    inner = rng.standard_normal((N_ROWS, 8)).astype(np.float32)
    before = rng.standard_normal((N_ROWS, 96)).astype(np.float32)
    scales = np.array([0.75, -1.5], np.float32)
    call = expand_kernel(kind).call

    def expand(begin: int, end: int, row: int, n_rows: int) -> F32:
        y = before.copy()
        call(layout.ctypes.data, rank, begin, end, inner[row:].ctypes.data, 32, n_rows,
             y[row:].ctypes.data, 4 * 96, scales.ctypes.data, scales[1:].ctypes.data)  # fmt: skip
        return y

    whole = expand(0, 3, 0, N_ROWS)
    exact = before + 0.75 * -1.5 * (inner[:, :rank].astype(np.float64) @ b.T)
    assert np.abs(whole - exact).max() < 1e-5
    one = expand(1, 2, 4, 1)
    assert (one[4, 32:64] == whole[4, 32:64]).all()
    changed = one != before
    assert changed[4, 32:64].all()
    assert changed.sum() == 32
