"""Packed panels: how weight matrices lie in memory while they are used.

A panel is 16 rows (outputs), interleaved so that the 16 lanes of a vector are 16 rows. Then no
sum crosses lanes, an activation is broadcast to all lanes, and memory is read front to back.
Matrices are padded with zero rows to an even number of panels; two panels make a strip, the unit
that work is dealt in. A unit is 32 inputs. Its codes are planes of vectors of [16 rows][4 bytes],
byte i of a vector for inputs 4g + i, g from 0 to 7:

    8 bits   8 vectors, one a g
    4 bits   4: vector j holds g = j in the low nibbles, g = 4 + j in the high ones
    2 bits   2: vector j holds g = 4j .. 4j + 3, from the lowest bits up
    1 bit    1: g = 0 .. 7, from the lowest bit up

Codes of 5, 6 and 3 bits are a plane of 4 or 2 bits and one of the bits above it. So for K inputs,
where B are the inputs of a block:

    codes     [panel][K / 32][vectors][16 rows][4 bytes]
    scales    [panel][K / B][16 rows] half, likewise minima (Q4_1, Q5_1); a byte where they are
              powers of two (MXFP4)
    K types:  [panel][K / 32][sub-blocks of a unit][16 rows] a byte for the scale (Q2_K: and the
              minimum); minima [panel][K / 32][16 rows] a byte (Q4_K, Q5_K)
              d [panel][K / B][16 rows] half; -dmin likewise
    NVFP4:    scales as those of K types, floats of 8 bits; behind all, the matrix's own factor, a
              float, and nothing up to a multiple of 64 bytes
    floats    [panel][K][16 rows]
"""

from __future__ import annotations

from functools import cached_property

from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.lazy_dataclass import dataclass

ROWS = 16
STRIP_ROWS = 32
UNIT = 32  # inputs
SUPER = 8  # units in a block of a K type
FACTOR_NBYTES = 64


@dataclass(frozen=True)
class PanelFormat:
    """The packed form of a block format, `source`: all of it follows from that."""

    source: BlockFormat

    @property
    def blocks(self) -> BlockFormat:
        """What the source's blocks are as they are read."""
        return self.source.plain or self.source

    @property
    def name(self) -> str:
        """The block format's name."""
        return self.source.name

    @property
    def kernel_name(self) -> str:
        """Under which name kernels read it: that of a type which is packed alike, or its own."""
        return self.blocks.name

    @property
    def bits(self) -> int:
        """Bits of a code, which is also the number of vectors of a unit's codes."""
        return self.blocks.bits

    @property
    def is_quantized(self) -> bool:
        """Whether the product takes int8 activations."""
        return self.source.is_quantized

    @property
    def is_super(self) -> bool:
        """Whether scales are bytes, times a number for a block (K types) or the matrix (NVFP4)."""
        return self.blocks.scales is not None

    @property
    def has_factor(self) -> bool:
        """Whether the matrix has a factor of its own (NVFP4)."""
        return self.is_super and not self.blocks.has_number

    @property
    def block_units(self) -> int:
        """Units of a block."""
        return self.source.block_size // UNIT

    @property
    def n_subs(self) -> int:
        """Scales per unit: 1, or 2 for sub-blocks of 16 inputs."""
        return UNIT // self.blocks.scales.size if self.blocks.scales else 1

    @property
    def has_minima(self) -> bool:
        """Whether something is added that is no multiple of the code."""
        return self.blocks.addend is not None

    @property
    def shares_bytes(self) -> bool:
        """Whether a byte holds a scale and, in its high nibble, a minimum (Q2_K)."""
        return self.is_super and self.has_minima and self.n_subs == 2

    @cached_property  # asked for each of hundreds of matrices
    def parts(self) -> tuple[int, int, int, int, int]:
        """Where scales, minima, d and -dmin begin and the matrix ends, in bytes a unit.

        A matrix of n units (of all panels) has them at n times these; a part that the format
        lacks has no length.
        """
        number = ROWS * (1 if self.blocks.is_power else 2) // self.block_units
        is_super, has_d = self.is_super, self.is_super and not self.has_factor
        has_minima, has_minimum_bytes = self.has_minima, self.has_minima and not self.shares_bytes
        scales = 64 * self.bits
        minima = scales + (ROWS * self.n_subs if is_super else number)
        d = minima + (ROWS * has_minimum_bytes if is_super else number * has_minima)
        dmin = d + number * has_d
        return scales, minima, d, dmin, dmin + number * (is_super and has_minima)

    def n_units(self, n_inputs: int) -> int:
        """How many units (or single inputs, for floats) a row has."""
        return n_inputs // UNIT if self.is_quantized else n_inputs

    def nbytes(self, n_rows: int, n_inputs: int) -> int:
        """Bytes of a packed matrix."""
        n, n_units = n_panels(n_rows), self.n_units(n_inputs)
        if not self.is_quantized:
            return n * ROWS * self.source.row_nbytes(n_inputs)
        return n * n_units * self.parts[-1] + FACTOR_NBYTES * self.has_factor


PANEL_FORMATS: dict[str, PanelFormat] = {name: PanelFormat(f) for name, f in FORMATS.items()}


def n_panels(n_rows: int) -> int:
    """Panels of a matrix, padding included: an even number."""
    return -(-n_rows // STRIP_ROWS) * 2
