"""The terms in which a tensor type is stated: its id in GGUF, its block, where its codes lie.

A block format stores `block_size` consecutive weights of a row in one fixed-size record, given as a
NumPy structured dtype whose field names are ggml's. Of a quantized type

    w = factor * d * s * (q - offset) + addend

q is the weight's code, whose bits lie in one or two planes; d the block's number in half precision.
Small types have no s, and the number m as the addend. K types have an integer s for each sub-block
of 16 or 32 inputs, and as the addend -dmin times another such integer. Of types with a table,
table[q] takes the place of q - offset; and d may be a power of two, given by its exponent, e, or
lack. Types whose codes are not planes of bits are read as blocks of another format, `plain`.

Source: ggml's ggml-common.h (block_q4_0, block_q2_K and so on), and dequantize_row_* in its
ggml-quants.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from halfbyte.lazy_dataclass import dataclass

Place = tuple[int, int, int, int]

# E8M0 is the exponent of a power of two, of which ggml takes the half: its tables have whole
# numbers, twice those of FP4. 255 is no number.
E8M0_BIAS, E8M0_NAN = 128, 255


@dataclass(frozen=True, slots=True)
class Plane:
    """Some bits of each of a block's codes, in a field of their own.

    The field is runs of bytes, one behind the other. Byte j of the first run holds, from its lowest
    bits up, inputs j, run + j, 2 run + j, ... until it is full; the next run goes on from there.

    Attributes:
        field: its name in the dtype.
        bits: how many of a code. 8 are a signed number.
        run: bytes of a run: 1 where the bits of neighbours fill a byte, or else a multiple of 4. 0
            is no run: every code has a byte of its own, in which planes follow one another.
    """

    field: str
    bits: int
    run: int


@dataclass(frozen=True, slots=True)
class SubScales:
    """The integers of a block's sub-blocks, in its field `scales`.

    Attributes:
        size: inputs of a sub-block.
        low, high: bits of an integer's two parts. 8 are a signed number.
        scale_at, minimum_at: where sub-block i has its scale (and minimum): the low part's byte and
            shift, the high part's byte and shift. Kernels compile these functions too.
        offset: taken from each stored scale.
        are_floats: whether they are no integers but floats of 8 bits (UE4M3: 4 of exponent, 3 of
            mantissa), of which ggml takes the half.
    """

    size: int
    low: int
    high: int
    scale_at: Callable[[int], Place]
    minimum_at: Callable[[int], Place] | None = None
    offset: int = 0
    are_floats: bool = False

    @property
    def ends(self) -> tuple[int, int]:
        """The least and the largest scale."""
        bits = self.low + self.high
        offset = 128 if bits == 8 else self.offset
        return -offset, (1 << bits) - 1 - offset


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """One tensor type of GGUF.

    Attributes:
        name, ggml_id: how ggml calls it, and its number in the file.
        block_size: weights in a block.
        dtype: one block. Its item size and field offsets stand nowhere else.
        planes: the low bits of the codes, then those above; none for floats.
        offset: taken from each code.
        table: the whole numbers that codes stand for, where these are no q - offset.
        scales: the integers of K types.
        factor: a power of two.
        plain: what a block is turned into as it is read (unfolding.py), where its own bytes have no
            planes: a format of the same block size, which stands in no file.
        exponent: of floats, the bits that are all set in NaN and infinity.
    """

    name: str
    ggml_id: int
    block_size: int
    dtype: np.dtype[np.void]
    planes: tuple[Plane, ...] = ()
    offset: int = 0
    table: tuple[int, ...] = ()
    scales: SubScales | None = None
    factor: float = 1.0
    plain: BlockFormat | None = None
    exponent: int = 0

    @property
    def block_nbytes(self) -> int:
        """Bytes of one block."""
        return int(self.dtype.itemsize)

    @property
    def is_quantized(self) -> bool:
        """Whether weights share a block, which makes the kernels use int8 activations."""
        return self.block_size > 1

    @property
    def low(self) -> int:
        """Bits of a code in the first plane."""
        return self.planes[0].bits if self.planes else 0

    @property
    def high(self) -> int:
        """Bits of a code in the second plane."""
        return self.planes[1].bits if len(self.planes) > 1 else 0

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return self.low + self.high

    @property
    def max_code(self) -> int:
        """The largest code, as it is stored."""
        return (1 << self.bits) - 1

    @property
    def bias(self) -> int:
        """What is taken from the bytes that products read: codes, or entries of the table, which
        are made 0 or more where they then are at most 127.
        """
        if not self.table:
            return self.offset
        least, largest = min(self.table), max(self.table)
        return -least if largest - least <= 127 else 0

    @property
    def entries(self) -> tuple[int, ...]:
        """The table's entries as such bytes."""
        return tuple(entry + self.bias for entry in self.table)

    @property
    def number(self) -> str:
        """The field of a block's number: "d", in half precision, or "e", its exponent (E8M0)."""
        return "e" if self.is_power else "d"

    @property
    def has_number(self) -> bool:
        """Whether a block has a number, beside the scales of its sub-blocks."""
        return self.number in (self.dtype.names or ())

    @property
    def is_power(self) -> bool:
        """Whether a block's number is a power of two: 2 ** (e - E8M0_BIAS)."""
        return "e" in (self.dtype.names or ())

    @property
    def addend(self) -> str | None:
        """The field of the number that is added ("m") or, times minima, taken ("dmin")."""
        return next((name for name in ("m", "dmin") if name in (self.dtype.names or ())), None)

    def at(self, field: str) -> int:
        """The byte at which a field begins in a block."""
        fields: Any = self.dtype.fields
        return int(fields[field][1])

    def row_nbytes(self, n: int) -> int:
        """Bytes of a row of `n` weights; ValueError unless `n` is a multiple of the block size."""
        if n % self.block_size:
            raise ValueError(
                f"{self.name}: a row of {n} is not a multiple of the block size {self.block_size}"
            )
        return n // self.block_size * self.block_nbytes
