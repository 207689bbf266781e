"""What a tile adds up where scales are floats of 8 bits; for others see scaled_units.py."""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.activations import RECORD_NBYTES, SCALE_AT
from halfbyte.kernels.products.dots import FIRST, SECOND, block_dots
from halfbyte.kernels.vectors.tiles import add_scaled, load_column_float8, times


@device
def add_float_units(acc, first, last, at, n_units, parts, codes, codes_stride, x, x_stride,
                    NBYTES, LOW, HIGH, TABLE, OFFSET, HAS_MINIMA, WAY, R, T):  # fmt: skip
    """Two scales for a unit, times the matrix's factor: NVFP4."""
    scales, factor, stride = parts[0], parts[4], n_units * 32
    for unit in range(first, last):
        record, where = x + unit * x_stride, codes + (at + unit) * NBYTES
        s = scales + (at + unit) * 32
        sums = block_dots(where, codes_stride, record, FIRST, LOW, HIGH, TABLE, OFFSET, WAY, R,
                          T)  # fmt: skip
        d = times(load_column_float8(s, stride, R), factor)
        acc = add_scaled(acc, sums, d, record + SCALE_AT, RECORD_NBYTES, T)
        sums = block_dots(where, codes_stride, record, SECOND, LOW, HIGH, TABLE, OFFSET, WAY, R,
                          T)  # fmt: skip
        d = times(load_column_float8(s + 16, stride, R), factor)
        acc = add_scaled(acc, sums, d, record + SCALE_AT, RECORD_NBYTES, T)
    return acc
