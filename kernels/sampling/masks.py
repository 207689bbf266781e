"""Masks over a vocabulary, a bit a token: logits of what is masked out become minus infinity."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.compiler.jit import kernel
from halfbyte.kernels.vectors.scalars import get_f32, get_i64, get_u8, put_f32, put_i64
from halfbyte.kernels.vectors.simd import splat, store

_MINUS_INF = np.float32(-np.inf)


def forbid(row: NDArray[np.float32], bits: NDArray[np.uint8]) -> None:
    """Make the logits (V,) of tokens whose bit is 0 minus infinity, the others stay.

    Args:
        row: contiguous; changed.
        bits: contiguous, the lowest bit of a byte first; a whole number of eight bytes, for V
            tokens at least.
    """
    assert row.flags.c_contiguous and bits.flags.c_contiguous and 8 * len(bits) >= len(row)
    _compiled()(row.ctypes.data, bits.ctypes.data, len(row))


def allowed_of(
    row: NDArray[np.float32], bits: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The tokens whose bit is 1 and whose logit is above minus infinity, ascending, and the logits.

    Args:
        row: contiguous; only read.
        bits: as for `forbid`.
    """
    assert row.flags.c_contiguous and bits.flags.c_contiguous and 8 * len(bits) >= len(row)
    ids, logits = np.empty(len(row), np.int64), np.empty(len(row), np.float32)
    n = np.zeros(1, np.int64)
    _gathering()(
        row.ctypes.data, bits.ctypes.data, len(row), ids.ctypes.data, logits.ctypes.data,
        n.ctypes.data,
    )  # fmt: skip
    return ids[: n[0]], logits[: n[0]]


@cache
def _gathering() -> Callable[..., None]:
    return _gather.call


@cache
def _compiled() -> Callable[..., None]:
    return _forbid.call


@kernel
def _forbid(row, bits, n):
    """By words of 64 tokens, of which most are all forbidden or all allowed."""
    for begin in range(0, n, 64):
        word = get_i64(bits + begin // 8)
        end = min(begin + 64, n)
        if word == 0 and end - begin == 64:
            for i in range(begin, end, 16):
                store(row + 4 * i, splat(_MINUS_INF))
        elif word != -1:
            for i in range(begin, end):
                if not (get_u8(bits + i // 8) >> (i & 7)) & 1:
                    put_f32(row + 4 * i, _MINUS_INF)


@kernel
def _gather(row, bits, n, ids, logits, n_found):
    """By words of 64 tokens, of which most are all forbidden or all allowed."""
    at = 0
    for begin in range(0, n, 64):
        word = get_i64(bits + begin // 8)
        if word == 0:
            continue
        for i in range(begin, min(begin + 64, n)):
            x = get_f32(row + 4 * i)
            if (word == -1 or (get_u8(bits + i // 8) >> (i & 7)) & 1) and x != _MINUS_INF:
                put_i64(ids + 8 * at, i)
                put_f32(logits + 4 * at, x)
                at += 1
    put_i64(n_found, at)
