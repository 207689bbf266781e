"""NVFP4: blocks of 64 four-bit floats, with a float of 8 bits for each 16 of them.

w = s * table[q]    q: 4 bits; qs[8 k + j] holds input j (low nibble) and j + 8 (high) of 16; s: a
                    UE4M3 each, which ggml calls d

Files bring one more factor for a whole matrix, in a tensor of its own.

Source: ggml's block_nvfp4 and ggml_ue4m3_to_fp32.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.formats.block_format import BlockFormat, Plane, SubScales
from halfbyte.kernels.formats.k import byte_at
from halfbyte.kernels.formats.mxfp4 import MXFP4

NVFP4 = BlockFormat(
    "NVFP4", 40, 64, np.dtype([("scales", "u1", 4), ("qs", "u1", 32)]), (Plane("qs", 4, 8),),
    table=MXFP4.table, scales=SubScales(16, 8, 0, byte_at, are_floats=True),
)  # fmt: skip
