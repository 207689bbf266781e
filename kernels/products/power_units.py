"""What a tile adds up where a block's number is a power of two; else see scaled_units.py."""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.activations import RECORD_NBYTES, SCALE_AT
from halfbyte.kernels.products.dots import WHOLE, block_dots
from halfbyte.kernels.vectors.tiles import add_scaled, load_column_e8m0


@device
def add_power_units(acc, first, last, at, n_units, parts, codes, codes_stride, x, x_stride,
                    NBYTES, LOW, HIGH, TABLE, OFFSET, HAS_MINIMA, WAY, R, T):  # fmt: skip
    """A power of two for a unit: MXFP4."""
    for unit in range(first, last):
        record = x + unit * x_stride
        sums = block_dots(codes + (at + unit) * NBYTES, codes_stride, record, WHOLE,
                          LOW, HIGH, TABLE, OFFSET, WAY, R, T)  # fmt: skip
        d = load_column_e8m0(parts[0] + (at + unit) * 16, n_units * 16, R)
        acc = add_scaled(acc, sums, d, record + SCALE_AT, RECORD_NBYTES, T)
    return acc
