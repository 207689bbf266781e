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

Codes of 5, 6 and 3 bits are a plane of 4 or 2 bits and one of the bits above it. So for K inputs:

    codes     [panel][K / 32][vectors][16 rows][4 bytes]
    scales    [panel][K / 32][16 rows] half, likewise minima (Q4_1, Q5_1); a byte where they are
              powers of two (MXFP4)
    K types:  [panel][K / 32][sub-blocks of a unit][16 rows] a byte for the scale (Q2_K: and the
              minimum); minima [panel][K / 32][16 rows] a byte (Q4_K, Q5_K)
              d [panel][K / 256][16 rows] half; -dmin likewise
    floats    [panel][K][16 rows]
"""

from __future__ import annotations

from dataclasses import dataclass

from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import FORMATS

ROWS = 16
STRIP_ROWS = 32
UNIT = 32  # inputs
SUPER = 8  # units in a block of a K type


@dataclass(frozen=True, slots=True)
class PanelFormat:
    """The packed form of a block format, `source`: all of it follows from that."""

    source: BlockFormat

    @property
    def name(self) -> str:
        """The block format's name."""
        return self.source.name

    @property
    def bits(self) -> int:
        """Bits of a code, which is also the number of vectors of a unit's codes."""
        return self.source.bits

    @property
    def is_quantized(self) -> bool:
        """Whether the product takes int8 activations."""
        return self.source.is_quantized

    @property
    def is_super(self) -> bool:
        """Whether scales are bytes times a number for 256 inputs (K types)."""
        return self.source.scales is not None

    @property
    def n_subs(self) -> int:
        """Scales per unit: 1, or 2 for sub-blocks of 16 inputs."""
        return UNIT // self.source.scales.size if self.source.scales else 1

    @property
    def has_minima(self) -> bool:
        """Whether something is added that is no multiple of the code."""
        return self.source.addend is not None

    @property
    def shares_bytes(self) -> bool:
        """Whether a byte holds a scale and, in its high nibble, a minimum (Q2_K)."""
        return self.is_super and self.has_minima and self.n_subs == 2

    @property
    def parts(self) -> tuple[int, int, int, int, int]:
        """Where scales, minima, d and -dmin begin and the matrix ends, in bytes a unit.

        A matrix of n units (of all panels) has them at n times these; a part that the format
        lacks has no length.
        """
        number, is_super = ROWS * (1 if self.source.is_power else 2), self.is_super
        has_minima, has_minimum_bytes = self.has_minima, self.has_minima and not self.shares_bytes
        scales = 64 * self.bits
        minima = scales + (ROWS * self.n_subs if is_super else number)
        d = minima + (ROWS * has_minimum_bytes if is_super else number * has_minima)
        dmin = d + number // SUPER * is_super
        return scales, minima, d, dmin, dmin + number // SUPER * (is_super and has_minima)

    def n_units(self, n_inputs: int) -> int:
        """How many units (or single inputs, for floats) a row has."""
        return n_inputs // UNIT if self.is_quantized else n_inputs

    def nbytes(self, n_rows: int, n_inputs: int) -> int:
        """Bytes of a packed matrix."""
        n, n_units = n_panels(n_rows), self.n_units(n_inputs)
        if not self.is_quantized:
            return n * ROWS * self.source.row_nbytes(n_inputs)
        return n * n_units * self.parts[-1]


PANEL_FORMATS: dict[str, PanelFormat] = {name: PanelFormat(f) for name, f in FORMATS.items()}


def n_panels(n_rows: int) -> int:
    """Panels of a matrix, padding included: an even number."""
    return -(-n_rows // STRIP_ROWS) * 2
