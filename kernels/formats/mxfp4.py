"""MXFP4, the microscaling type of gpt-oss: blocks of 32 four-bit floats and a power of two.

MXFP4  w = 2^(e - 128) * table[q]    q: 4 bits; qs[j] holds input j (low nibble) and j + 16 (high)

The table has twice the numbers of FP4 (a sign, two bits of exponent, one of mantissa).

Source: the OCP Microscaling Formats specification 1.0; ggml's block_mxfp4 and kvalues_mxfp4.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.formats.block_format import BlockFormat, Plane

SIZES = (0, 1, 2, 3, 4, 6, 8, 12)

MXFP4 = BlockFormat(
    "MXFP4", 39, 32, np.dtype([("e", "u1"), ("qs", "u1", 16)]), (Plane("qs", 4, 16),),
    table=(*SIZES, *(-size for size in SIZES)),
)  # fmt: skip
