"""What a tile adds up where one number serves several units; for others see scaled_units.py."""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.activations import RECORD_NBYTES, SCALE_AT
from halfbyte.kernels.products.dots import WHOLE, block_dots
from halfbyte.kernels.vectors.tiles import add_scaled, load_column_f16


@device
def add_units_of(UNITS, acc, first, last, at, n_units, scales, codes, codes_stride, x, x_stride,
                 NBYTES, LOW, HIGH, TABLE, OFFSET, WAY, R, T):  # fmt: skip
    """One scale for UNITS units."""
    stride = n_units // UNITS * 32
    for block in range(first // UNITS, last // UNITS):
        d = load_column_f16(scales + (at // UNITS + block) * 32, stride, R)
        for unit in range(UNITS * block, UNITS * block + UNITS):
            record = x + unit * x_stride
            sums = block_dots(codes + (at + unit) * NBYTES, codes_stride, record, WHOLE,
                              LOW, HIGH, TABLE, OFFSET, WAY, R, T)  # fmt: skip
            acc = add_scaled(acc, sums, d, record + SCALE_AT, RECORD_NBYTES, T)
    return acc


@device
def add_2_units(acc, first, last, at, n_units, parts, codes, codes_stride, x, x_stride, NBYTES,
                LOW, HIGH, TABLE, OFFSET, HAS_MINIMA, WAY, R, T):  # fmt: skip
    """A scale for 2 units: Q2_0."""
    return add_units_of(2, acc, first, last, at, n_units, parts[0], codes, codes_stride, x,
                        x_stride, NBYTES, LOW, HIGH, TABLE, OFFSET, WAY, R, T)  # fmt: skip


@device
def add_4_units(acc, first, last, at, n_units, parts, codes, codes_stride, x, x_stride, NBYTES,
                LOW, HIGH, TABLE, OFFSET, HAS_MINIMA, WAY, R, T):  # fmt: skip
    """A scale for 4 units: Q1_0."""
    return add_units_of(4, acc, first, last, at, n_units, parts[0], codes, codes_stride, x,
                        x_stride, NBYTES, LOW, HIGH, TABLE, OFFSET, WAY, R, T)  # fmt: skip


@device
def add_8_units(acc, first, last, at, n_units, parts, codes, codes_stride, x, x_stride, NBYTES,
                LOW, HIGH, TABLE, OFFSET, HAS_MINIMA, WAY, R, T):  # fmt: skip
    """A scale for 8 units: TQ2_0."""
    return add_units_of(8, acc, first, last, at, n_units, parts[0], codes, codes_stride, x,
                        x_stride, NBYTES, LOW, HIGH, TABLE, OFFSET, WAY, R, T)  # fmt: skip


ADD_WIDE_UNITS = {2: add_2_units, 4: add_4_units, 8: add_8_units}
