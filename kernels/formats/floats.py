"""Types of one weight a block: F32, F16, and BF16 as its 16 bits."""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.formats.block_format import BlockFormat

F32 = BlockFormat("F32", 0, 1, np.dtype([("w", "<f4")]), exponent=0x7F800000)
F16 = BlockFormat("F16", 1, 1, np.dtype([("w", "<f2")]), exponent=0x7C00)
BF16 = BlockFormat("BF16", 30, 1, np.dtype([("w", "<u2")]), exponent=0x7F80)
