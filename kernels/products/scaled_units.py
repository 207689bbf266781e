"""What a tile of sums adds up of blocks with their own scales, and of K types, unit after unit.

Units first .. last of R panels and T tokens, added to `acc`. `at` is the number of the panel's
first unit in the matrix, and `codes` where the codes of unit 0 lie or, were all of them expanded,
would lie: R panels of them, `codes_stride` bytes apart. `parts` are where scales, minima, d and
-dmin lie, and a factor of all (matmul.py).
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.layouts.activations import (
    HALF_AT,
    RECORD_NBYTES,
    SCALE_AT,
    SCALED_HALF_AT,
    SCALED_SUM_AT,
    SUM_AT,
)
from halfbyte.kernels.products.dots import FIRST, SECOND, WHOLE, block_dots
from halfbyte.kernels.vectors.simd import mul
from halfbyte.kernels.vectors.tiles import (
    add_minima_rest,
    add_outer,
    add_scaled,
    load_column_f16,
    load_column_high,
    load_column_i8,
    load_column_low,
    times,
)


@device
def add_scaled_units(acc, first, last, at, n_units, parts, codes, codes_stride, x, x_stride,
                     NBYTES, LOW, HIGH, TABLE, OFFSET, HAS_MINIMA, WAY, R, T):  # fmt: skip
    """One scale, and perhaps one minimum, for a unit: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1."""
    scales, minima = parts[0], parts[1]
    for unit in range(first, last):
        record = x + unit * x_stride
        sums = block_dots(codes + (at + unit) * NBYTES, codes_stride, record, WHOLE,
                          LOW, HIGH, TABLE, OFFSET, WAY, R, T)  # fmt: skip
        d = load_column_f16(scales + (at + unit) * 32, n_units * 32, R)
        acc = add_scaled(acc, sums, d, record + SCALE_AT, RECORD_NBYTES, T)
        if HAS_MINIMA:
            m = load_column_f16(minima + (at + unit) * 32, n_units * 32, R)
            acc = add_outer(acc, m, record + SCALED_SUM_AT, RECORD_NBYTES, T)
    return acc


@device
def add_super_32_units(acc, first, last, at, n_units, parts, codes, codes_stride, x, x_stride,
                       NBYTES, LOW, HIGH, TABLE, OFFSET, HAS_MINIMA, WAY, R, T):  # fmt: skip
    """A scale, and perhaps a minimum, for a unit, multiples of numbers for 8 units: Q4_K, Q5_K."""
    scales, minima, super_d, super_m, factor = parts
    for block in range(first // 8, last // 8):
        super_at, super_stride = (at // 8 + block) * 32, n_units * 4
        d = times(load_column_f16(super_d + super_at, super_stride, R), factor)
        m = load_column_f16(super_m + super_at, super_stride, R) if HAS_MINIMA else d
        for unit in range(8 * block, 8 * block + 8):
            record = x + unit * x_stride
            sums = block_dots(codes + (at + unit) * NBYTES, codes_stride, record,
                              WHOLE, LOW, HIGH, TABLE, OFFSET, WAY, R, T)  # fmt: skip
            ds = mul(d, load_column_i8(scales + (at + unit) * 16, n_units * 16, R))
            acc = add_scaled(acc, sums, ds, record + SCALE_AT, RECORD_NBYTES, T)
            if HAS_MINIMA:
                addend = mul(m, load_column_i8(minima + (at + unit) * 16, n_units * 16, R))
                acc = add_outer(acc, addend, record + SCALED_SUM_AT, RECORD_NBYTES, T)
    return acc


@device
def add_super_16_units(acc, first, last, at, n_units, parts, codes, codes_stride, x, x_stride,
                       NBYTES, LOW, HIGH, TABLE, OFFSET, HAS_MINIMA, WAY, R, T):  # fmt: skip
    """Two scales for a unit, multiples of a number for 8 units: Q3_K, Q6_K."""
    scales, super_d = parts[0], parts[2]
    stride = n_units * 32
    for block in range(first // 8, last // 8):
        d = times(load_column_f16(super_d + (at // 8 + block) * 32, n_units * 4, R), parts[4])
        for unit in range(8 * block, 8 * block + 8):
            record, scale = x + unit * x_stride, scales + (at + unit) * 32
            where = codes + (at + unit) * NBYTES
            sums = block_dots(where, codes_stride, record, FIRST, LOW, HIGH, TABLE, OFFSET, WAY,
                              R, T)  # fmt: skip
            factor = mul(d, load_column_i8(scale, stride, R))
            acc = add_scaled(acc, sums, factor, record + SCALE_AT, RECORD_NBYTES, T)
            sums = block_dots(where, codes_stride, record, SECOND, LOW, HIGH, TABLE, OFFSET, WAY,
                              R, T)  # fmt: skip
            factor = mul(d, load_column_i8(scale + 16, stride, R))
            acc = add_scaled(acc, sums, factor, record + SCALE_AT, RECORD_NBYTES, T)
    return acc


@device
def add_q2_k_units(acc, first, last, at, n_units, parts, codes, codes_stride, x, x_stride,
                   NBYTES, LOW, HIGH, TABLE, OFFSET, HAS_MINIMA, WAY, R, T):  # fmt: skip
    """Two scales and two minima for a unit, 4 bits each in one byte."""
    scales, super_d, super_m = parts[0], parts[2], parts[3]
    stride = n_units * 32
    for block in range(first // 8, last // 8):
        super_at, super_stride = (at // 8 + block) * 32, n_units * 4
        d = load_column_f16(super_d + super_at, super_stride, R)
        m = load_column_f16(super_m + super_at, super_stride, R)
        for unit in range(8 * block, 8 * block + 8):
            record, both = x + unit * x_stride, scales + (at + unit) * 32
            where = codes + (at + unit) * NBYTES
            sums = block_dots(where, codes_stride, record, FIRST, LOW, HIGH, TABLE, OFFSET, WAY,
                              R, T)  # fmt: skip
            factor = mul(d, load_column_low(both, stride, R))
            acc = add_scaled(acc, sums, factor, record + SCALE_AT, RECORD_NBYTES, T)
            addend = mul(m, load_column_high(both, stride, R))
            acc = add_outer(acc, addend, record + SCALED_HALF_AT, RECORD_NBYTES, T)
            sums = block_dots(where, codes_stride, record, SECOND, LOW, HIGH, TABLE, OFFSET, WAY,
                              R, T)  # fmt: skip
            factor = mul(d, load_column_low(both + 16, stride, R))
            acc = add_scaled(acc, sums, factor, record + SCALE_AT, RECORD_NBYTES, T)
            addend = mul(m, load_column_high(both + 16, stride, R))
            acc = add_minima_rest(acc, addend, record + SCALE_AT, record + SUM_AT,
                                  record + HALF_AT, RECORD_NBYTES, T)  # fmt: skip
    return acc
