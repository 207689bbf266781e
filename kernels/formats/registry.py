"""All tensor types, by name and by number: a new type is one of these."""

from __future__ import annotations

from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.floats import BF16, F16, F32
from halfbyte.kernels.formats.k import Q2_K, Q3_K, Q4_K, Q5_K, Q6_K
from halfbyte.kernels.formats.mxfp4 import MXFP4
from halfbyte.kernels.formats.small import Q4_0, Q4_1, Q5_0, Q5_1, Q8_0

FORMATS: dict[str, BlockFormat] = {
    f.name: f
    for f in (
        F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K,
        MXFP4,
    )
}  # fmt: skip
BY_GGML_ID: dict[int, BlockFormat] = {f.ggml_id: f for f in FORMATS.values()}
