"""Which tensor types tests compile the kernels of.

All of them, each on every ISA, are `make test-types`: minutes. Otherwise one stands for those that
came with tables and codebooks.
"""

from __future__ import annotations

import os

from halfbyte.kernels.formats.registry import FORMATS

_RARE = {
    "NVFP4", "IQ4_NL", "Q1_0", "Q2_0", "TQ1_0", "TQ2_0", "IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS",
    "IQ2_XXS", "IQ1_M", "IQ1_S",
}  # fmt: skip
ARE_ALL = bool(os.environ.get("ALL_TYPES"))
CHECKED = sorted(FORMATS if ARE_ALL else FORMATS.keys() - _RARE)
