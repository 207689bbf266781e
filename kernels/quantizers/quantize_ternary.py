"""Floats to blocks of Q1_0, Q2_0, TQ1_0 and TQ2_0.

The bytes are those of ggml's reference quantizers (quantize_row_q1_0_ref and so on): the scale is
the largest magnitude of a block, or in Q1_0 the mean of all. These types are for models that were
trained to have two or three weights, which come out as they are; importance changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.codes import code_planes, put_bits
from halfbyte.kernels.formats.ternary import Q1_0, TQ1_0
from halfbyte.kernels.vectors.scalars import get_f32, put_f16, put_u8

_ZERO, _ONE, _TWO = (np.float32(i) for i in range(3))
_INF = np.float32(np.inf)


@device
def _nearest(x):
    """The whole number that is nearest, away from zero where two are."""
    magnitude = abs(x)
    whole = np.floor(magnitude)
    whole += np.floor(_TWO * (magnitude - whole))
    return np.int64(whole) if x >= _ZERO else -np.int64(whole)


@device
def _largest(x, n):
    largest = _ZERO
    for i in range(n):
        largest = max(abs(get_f32(x + 4 * i)), largest)
    return largest


@device
def _inverse(x):
    """1 / x, and 0 where that is not finite."""
    inverse = _ONE / x
    return inverse if inverse < _INF else _ZERO


@device
def _clear(block, n):
    for i in range(n):
        put_u8(block + i, np.uint8(0))


@device
def _put_digits(x, inverse, n_bytes, n_digits, out):
    """Bytes of as many digits of base 3, inputs n_bytes apart, each as a fraction of 256."""
    for i in range(n_bytes):
        number = np.int64(0)
        for digit in range(5):
            number *= 3
            if digit < n_digits:
                number += _nearest(get_f32(x + 4 * (digit * n_bytes + i)) * inverse) + 1
        put_u8(out + i, np.uint8((number * 256 + 242) // 243))


def _signs() -> Callable[..., None]:
    N, NBYTES, D_AT = Q1_0.block_size, Q1_0.block_nbytes, Q1_0.at("d")
    PLANE = code_planes(Q1_0)[0]

    def quantize(x, importance, out, n_blocks, row_blocks, scratch):
        for i in range(n_blocks):
            here, block, total = x + 4 * N * i, out + NBYTES * i, _ZERO
            _clear(block, NBYTES)
            for k in range(N):
                value = get_f32(here + 4 * k)
                total += abs(value)
                put_bits(PLANE, block, k, 1 if value >= _ZERO else 0)
            put_f16(block + D_AT, total / np.float32(N))

    return quantize


def _codes(fmt: BlockFormat) -> Callable[..., None]:
    N, NBYTES, D_AT, OFFSET = fmt.block_size, fmt.block_nbytes, fmt.at("d"), fmt.offset
    PLANE = code_planes(fmt)[0]

    def quantize(x, importance, out, n_blocks, row_blocks, scratch):
        for i in range(n_blocks):
            here, block = x + 4 * N * i, out + NBYTES * i
            _clear(block, NBYTES)
            d = _largest(here, N)
            put_f16(block + D_AT, d)
            inverse = _inverse(d)
            for k in range(N):
                put_bits(PLANE, block, k, _nearest(get_f32(here + 4 * k) * inverse) + OFFSET)

    return quantize


def _digits() -> Callable[..., None]:
    N, NBYTES, QH_AT, D_AT = TQ1_0.block_size, TQ1_0.block_nbytes, TQ1_0.at("qh"), TQ1_0.at("d")

    def quantize(x, importance, out, n_blocks, row_blocks, scratch):
        for i in range(n_blocks):
            here, block = x + 4 * N * i, out + NBYTES * i
            d = _largest(here, N)
            put_f16(block + D_AT, d)
            inverse = _inverse(d)
            _put_digits(here, inverse, 32, 5, block)
            _put_digits(here + 4 * 160, inverse, 16, 5, block + 32)
            _put_digits(here + 4 * 240, inverse, 4, 4, block + QH_AT)

    return quantize


def ternary_quantizer(fmt: BlockFormat) -> Callable[..., None]:
    """Blocks of one of these types from floats: the arguments are in quantize.py."""
    if fmt is Q1_0:
        return _signs()
    return _digits() if fmt is TQ1_0 else _codes(fmt)
