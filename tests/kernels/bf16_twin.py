"""Products in bf16 in NumPy: the order of Intel's manual for TDPBF16PS, written without pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.kernels.naive import fma

F32 = NDArray[np.float32]


def rounded(x: F32) -> F32:
    """To nearest even, as floats; numbers below 2 ** -55 are 0. Not for NaN."""
    bits = np.where(np.abs(x) < np.float32(2.0**-55), np.float32(0), x).view(np.uint32)
    bits = bits.astype(np.uint64)
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32)


def blocks_of(x: F32) -> F32:
    """Rows (N, K) rounded, in blocks of 32 inputs (N, K / 32, 32), the last one padded."""
    return rounded(np.pad(x, ((0, 0), (0, -x.shape[1] % 32)))).reshape(len(x), -1, 32)


def matmul(w: F32, x: F32) -> F32:
    """y (T, N) of weights (N, K) and rows (T, K)."""
    w, x = blocks_of(w), blocks_of(x)
    acc = np.zeros((len(x), len(w)), np.float32)
    for block in range(w.shape[1]):
        first, last = np.zeros((2, *acc.shape), np.float32)
        for i in range(16):
            first = fma(w[:, block, i], x[:, block, i, None], first)
            last = fma(w[:, block, 16 + i], x[:, block, 16 + i, None], last)
        acc = acc + (first + last)
    return acc


def as_pairs(x: F32, pairs: list[tuple[int, int]]) -> NDArray[np.uint32]:
    """Blocks (..., 32) that are rounded already, as (lower, upper) halves of 16 words."""
    halves = x.view(np.uint32) >> 16
    low, high = (list(inputs) for inputs in zip(*pairs, strict=True))
    return np.ascontiguousarray(halves[..., low] | halves[..., high] << 16)


def records(x: F32, pairs: list[tuple[int, int]]) -> NDArray[np.uint32]:
    """The records of rows (T, K): (K / 32, T, 16)."""
    return np.ascontiguousarray(as_pairs(blocks_of(x), pairs).swapaxes(0, 1))
