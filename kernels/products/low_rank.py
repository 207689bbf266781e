"""Products with an adapter's two thin matrices: y += scale B (A x), a LoRA's part of y = W x.

    A   (rank, inputs)     [group of 4 ranks][block of 32 inputs][4 ranks][32 inputs]
    B   (outputs, rank)    [strip of 32 rows][rank][32 rows]

Both are padded with zeros, and of one type: F32, F16 or BF16. A row's inner products A x are sums
over 16 lanes each, in ascending order of the inputs, folded by halves at the end; B's are two sums
over every other rank, and one fused multiply-add brings what they are together to y. So neither
depends on the other rows, on how many there are or on who computes them.

Where a row has records alone (activations.py), they are what A meets.
"""

from __future__ import annotations

from collections.abc import Callable

from halfbyte.kernels.compiler.jit import Kernel, device, kernel_maker
from halfbyte.kernels.layouts.activations import BF16_RECORD_NBYTES, SCALE_AT
from halfbyte.kernels.vectors.bf16 import first_of_record, second_of_record
from halfbyte.kernels.vectors.scalars import get_f32, put_f32, stack
from halfbyte.kernels.vectors.simd import add, load, mul, prefetch, splat, sum_lanes
from halfbyte.kernels.vectors.tiles import (
    add_outer,
    add_products,
    load_column,
    load_column_bf16,
    load_column_f16,
    load_column_i8,
    save_tile,
    zeros,
)

KINDS = ("F32", "F16", "BF16")
GROUP = 4  # ranks whose sums are made together
_AHEAD = 2048  # bytes; memory pages of 4 KiB stop the CPU's own prefetching


@device
def _column(at, stride, KIND, R):
    """R vectors of a factor's numbers, `stride` bytes apart."""
    if KIND == 0:
        return load_column(at, stride, R)
    if KIND == 1:
        return load_column_f16(at, stride, R)
    return load_column_bf16(at, stride, R)


@kernel_maker
def shrink_kernel(kind: str) -> Kernel:
    """inner = A x for some groups of ranks and some rows.

    A kernel of 11 integers:
        a, n_blocks            A, and how many blocks of 32 inputs its rows have
        begin, end             groups of ranks
        x, x_stride, n_rows    rows: floats, or records, which are `x_stride` long
        block_stride           bytes between the records of a row; 0: floats
        inner, inner_stride    floats, inner[row][rank]
    """
    return Kernel(_shrink(KINDS.index(kind)), f"shrink_{kind}")


def _shrink(KIND: int) -> Callable[..., None]:
    R, SUMS_NBYTES, HALF_NBYTES = GROUP, 64 * GROUP, 64 if KIND == 0 else 32
    BLOCK_NBYTES = 2 * R * HALF_NBYTES

    def shrink(a, n_blocks, begin, end, x, x_stride, n_rows, block_stride, inner, inner_stride):
        sums = stack(SUMS_NBYTES)
        for group in range(begin, end):
            for row in range(n_rows):
                at, acc = x + row * x_stride, zeros(R, 1)
                for block in range(n_blocks):
                    here = a + (group * n_blocks + block) * BLOCK_NBYTES
                    for line in range(0, BLOCK_NBYTES, 64):
                        prefetch(here + _AHEAD + line)
                    if block_stride == 0:
                        x0, x1 = load(at + block * 128), load(at + block * 128 + 64)
                    elif x_stride == BF16_RECORD_NBYTES:
                        record = at + block * block_stride
                        x0, x1 = first_of_record(record), second_of_record(record)
                    else:
                        record = at + block * block_stride
                        d = splat(get_f32(record + SCALE_AT))
                        x0 = mul(load_column_i8(record, 0, 1), d)
                        x1 = mul(load_column_i8(record + 16, 0, 1), d)
                    acc = add_products(acc, _column(here, 2 * HALF_NBYTES, KIND, R), x0)
                    here += HALF_NBYTES
                    acc = add_products(acc, _column(here, 2 * HALF_NBYTES, KIND, R), x1)
                save_tile(acc, sums, 64, 64, R, 1)
                to = inner + row * inner_stride + group * R * 4
                for i in range(R):
                    put_f32(to + 4 * i, sum_lanes(load(sums + 64 * i)))

    return shrink


@kernel_maker
def expand_kernel(kind: str) -> Kernel:
    """y += scale B inner for some strips of rows of B and some rows of y.

    A kernel of 11 integers:
        b, rank                B
        begin, end             strips (32 rows)
        inner, inner_stride    floats, inner[row][rank]
        n_rows, y, y_stride    rows of floats
        scale, applied         addresses of floats, whose product is the scale
    """
    return Kernel(_expand(KINDS.index(kind)), f"expand_{kind}")


def _expand(KIND: int) -> Callable[..., None]:
    HALF_NBYTES = 64 if KIND == 0 else 32

    def expand(b, rank, begin, end, inner, inner_stride, n_rows, y, y_stride, scale, applied):
        factor = splat(get_f32(scale) * get_f32(applied))
        for strip in range(begin, end):
            rows = b + strip * rank * 2 * HALF_NBYTES
            for row in range(n_rows):
                even, odd, t = zeros(2, 1), zeros(2, 1), inner + row * inner_stride
                for j in range(0, rank - 1, 2):
                    at = rows + j * 2 * HALF_NBYTES
                    for line in range(0, 4 * HALF_NBYTES, 64):
                        prefetch(at + _AHEAD + line)
                    even = add_outer(even, _column(at, HALF_NBYTES, KIND, 2), t + 4 * j, 0, 1)
                    at += 2 * HALF_NBYTES
                    odd = add_outer(odd, _column(at, HALF_NBYTES, KIND, 2), t + 4 * j + 4, 0, 1)
                if rank % 2 == 1:
                    at = rows + (rank - 1) * 2 * HALF_NBYTES
                    even = add_outer(
                        even, _column(at, HALF_NBYTES, KIND, 2), t + 4 * (rank - 1), 0, 1
                    )
                to = y + row * y_stride + strip * 128
                before = load_column(to, 64, 2)
                save_tile(add_products(before, add(even, odd), factor), to, 64, 0, 2, 1)

    return expand
