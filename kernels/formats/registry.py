"""All tensor types, by name and by number: a new type is one of these."""

from __future__ import annotations

from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.codebook import (
    IQ1_M,
    IQ1_S,
    IQ2_S,
    IQ2_XS,
    IQ2_XXS,
    IQ3_S,
    IQ3_XXS,
)
from halfbyte.kernels.formats.floats import BF16, F16, F32
from halfbyte.kernels.formats.iq4 import IQ4_NL, IQ4_XS
from halfbyte.kernels.formats.k import Q2_K, Q3_K, Q4_K, Q5_K, Q6_K
from halfbyte.kernels.formats.mxfp4 import MXFP4
from halfbyte.kernels.formats.nvfp4 import NVFP4
from halfbyte.kernels.formats.small import Q4_0, Q4_1, Q5_0, Q5_1, Q8_0
from halfbyte.kernels.formats.ternary import Q1_0, Q2_0, TQ1_0, TQ2_0

FORMATS: dict[str, BlockFormat] = {
    f.name: f
    for f in (
        F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K,
        MXFP4, NVFP4, IQ4_NL, IQ4_XS, Q1_0, Q2_0, TQ1_0, TQ2_0,
        IQ3_S, IQ3_XXS, IQ2_S, IQ2_XS, IQ2_XXS, IQ1_M, IQ1_S,
    )
}  # fmt: skip
BY_GGML_ID: dict[int, BlockFormat] = {f.ggml_id: f for f in FORMATS.values()}
# What kernels see of each: its own blocks, or those that they are turned into as they are read.
AS_READ: dict[int, BlockFormat] = {f.ggml_id: f.plain or f for f in FORMATS.values()}
