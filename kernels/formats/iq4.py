"""Types of 4 bits whose codes stand for numbers of a table, which lie closer around zero.

IQ4_NL  w = d * table[q]             q: 4 bits; qs[j] holds input j (low nibble) and j + 16 (high)
IQ4_XS  w = d * (s - 32) * table[q]  the same for each 32 inputs; s: 6 bits, 2 of them in scales_h

Source: ggml's kvalues_iq4nl, block_iq4_nl and block_iq4_xs.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.formats.block_format import BlockFormat, Place, Plane, SubScales

_D = ("d", "<f2")
_NIBBLES = Plane("qs", 4, 16)
TABLE = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def iq4_xs_scale_at(i: int) -> Place:
    """4 bits of ggml's scales_l, bytes 2 .. 5; 2 bits of its scales_h, bytes 0 and 1."""
    return 2 + i // 2, i % 2 * 4, i // 4, i % 4 * 2


IQ4_NL = BlockFormat(
    "IQ4_NL", 20, 32, np.dtype([_D, ("qs", "u1", 16)]), (_NIBBLES,), table=TABLE
)  # fmt: skip
IQ4_XS = BlockFormat(
    "IQ4_XS", 23, 256, np.dtype([_D, ("scales", "u1", 6), ("qs", "u1", 128)]), (_NIBBLES,),
    table=TABLE, scales=SubScales(32, 4, 2, iq4_xs_scale_at, offset=32),
)  # fmt: skip
