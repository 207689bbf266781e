"""Activations as the matrix products read them.

Quantized weights meet activations of 8 bits: each block of 32 inputs of a token becomes a record

    q       32 signed bytes, x = d * q, within +-127
    d       the scale, float
    d sum   d times the sum of the 32 q, float: what a minimum of a weight block is multiplied by
    d half  d times the sum of the first 16, likewise
    sum     the sum of the 32 q, a 16-bit integer: offsets of weight blocks need it
    half    the sum of the first 16, likewise

and the records lie block by block, token by token within a block: [K / 32][tokens]. A tile of
tokens then reads neighbouring records; rows of their own would meet in the same cache sets.
There is one quantizer, so that a token's numbers never depend on what it is computed with.

Where products are made in bf16, a record is a block's 32 numbers rounded to that instead, in pairs
(bf16.py). Which kind a record is follows from how long it is.

Float weights meet the floats themselves, rows of `padded(K)` floats whose padding is zero.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.vectors.bf16 import BLOCK_NBYTES, store_record
from halfbyte.kernels.vectors.scalars import put_f32, put_u16
from halfbyte.kernels.vectors.simd import (
    fma,
    larger_magnitude,
    largest_magnitude,
    load,
    mul,
    splat,
    store,
    store_rounded_i8,
    sum_lanes,
)

BLOCK = 32
# How weights and activations meet, and how long a record of it is.
ARITHMETICS = {"int8": 48, "bf16": BLOCK_NBYTES}
RECORD_NBYTES, BF16_RECORD_NBYTES = ARITHMETICS["int8"], ARITHMETICS["bf16"]
MOST_RECORD_NBYTES = max(ARITHMETICS.values())
SCALE_AT, SCALED_SUM_AT, SCALED_HALF_AT, SUM_AT, HALF_AT = 32, 36, 40, 44, 46
_INFINITY = np.float32(np.inf)


def padded(n: int) -> int:
    """Row length, in elements, of a float buffer for n features."""
    return -(-n // BLOCK) * BLOCK


@device
def quantize_block(x0, x1, record):
    """Write the record of 32 floats, given as two vectors.

    A block is zero where its numbers are too small for 127 / largest to be finite.
    """
    largest = largest_magnitude(larger_magnitude(x0, x1))
    inverse, d = np.float32(127) / largest, largest / np.float32(127)
    if not inverse < _INFINITY:
        x0 = x1 = splat(np.float32(0))
        inverse, d = np.float32(0), largest * np.float32(0)  # NaN and infinity stay visible
    half = store_rounded_i8(record, mul(x0, splat(inverse)))
    total = half + store_rounded_i8(record + 16, mul(x1, splat(inverse)))
    put_f32(record + SCALE_AT, d)
    put_f32(record + SCALED_SUM_AT, d * np.float32(total))
    put_f32(record + SCALED_HALF_AT, d * np.float32(half))
    put_u16(record + SUM_AT, np.uint16(total))
    put_u16(record + HALF_AT, np.uint16(half))


@device
def put_block(x0, x1, record, nbytes):
    """Write the record of 32 floats, given as two vectors; how long it is says of which kind."""
    if nbytes == RECORD_NBYTES:
        quantize_block(x0, x1, record)
    else:
        store_record(x0, x1, record)


@device
def put_row(x, n_blocks, records, stride, nbytes):
    """Write the records of a row of floats, `stride` bytes apart and `nbytes` long."""
    for block in range(n_blocks):
        at = x + 128 * block
        put_block(load(at), load(at + 64), records + stride * block, nbytes)


@device
def rms_norm_row(x, weight, n, eps, out):
    """out = x / sqrt(mean(x^2) + eps) * weight over n floats; buffers are padded with zeros."""
    n_vectors = (n + 31) // 32 * 2
    squares = splat(np.float32(0))
    for i in range(n_vectors):
        v = load(x + 64 * i)
        squares = fma(v, v, squares)
    mean = sum_lanes(squares) / np.float32(n)
    scale = splat(np.float32(1) / np.sqrt(mean + eps))
    for i in range(n_vectors):
        store(out + 64 * i, mul(mul(load(x + 64 * i), scale), load(weight + 64 * i)))
