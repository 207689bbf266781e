"""Types for models whose weights were trained to be two or three numbers.

Q1_0   w = d * (2 q - 1)  128 inputs; q: 1 bit, 8 neighbours a byte
Q2_0   w = d * (q - 1)    64 inputs; q: 2 bits, 4 neighbours a byte; 3 stands for 2 d
TQ2_0  w = d * (q - 1)    256 inputs; q: 2 bits
TQ1_0  the same           five digits of base 3 a byte, as a fraction of 256: digit n is the whole
                          part of 3 * (3^n * byte mod 256) / 256. It is read as TQ2_0.

Source: ggml's block_q1_0 and so on, and their dequantize_row_*.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.formats.block_format import BlockFormat, Plane

_D = ("d", "<f2")

Q1_0 = BlockFormat(
    "Q1_0", 41, 128, np.dtype([_D, ("qs", "u1", 16)]), (Plane("qs", 1, 1),), table=(-1, 1)
)  # fmt: skip
Q2_0 = BlockFormat("Q2_0", 42, 64, np.dtype([_D, ("qs", "u1", 16)]), (Plane("qs", 2, 1),), offset=1)
TQ2_0 = BlockFormat(
    "TQ2_0", 35, 256, np.dtype([("qs", "u1", 64), _D]), (Plane("qs", 2, 32),), offset=1
)  # fmt: skip
TQ1_0 = BlockFormat(
    "TQ1_0", 34, 256, np.dtype([("qs", "u1", 48), ("qh", "u1", 4), _D]),
    plain=BlockFormat(
        TQ2_0.name, TQ2_0.ggml_id, 256, np.dtype([_D, ("qs", "u1", 256)]), (Plane("qs", 2, 0),),
        offset=1,
    ),
)  # fmt: skip
