"""NVIDIA's ModelOpt: matrices in NVFP4 or in 8-bit floats, in one checkpoint perhaps both.

    NVFP4  weight U8 (N, K / 2), weight_scale E4M3 (N, K / 16), weight_scale_2 of one number
    FP8    weight E4M3 (N, K), weight_scale of one number

Source: ModelOpt's export, unified_export_hf.py; tensors say which of the two a matrix is in.
"""

from __future__ import annotations

from halfbyte.converting.sources.quantized.checkpoint import Checkpoint, HFTensor
from halfbyte.converting.sources.quantized.float8 import (
    FLOAT8,
    drop_activation_scales,
    float8_tensor,
)
from halfbyte.converting.sources.quantized.nvfp4 import nvfp4_tensor

_ALGORITHMS = ("NVFP4", "W4A16_NVFP4", "FP8", "MIXED_PRECISION")


def read_modelopt(checkpoint: Checkpoint) -> dict[str, HFTensor]:
    """The quantized matrices by their names; takes what they are made of.

    Raises:
        ConversionError: another algorithm, or tensors that do not fit together.
    """
    checkpoint.setting("quant_algo", *_ALGORITHMS)
    found: dict[str, HFTensor] = {}
    for name, tensor in checkpoint.rest().items():
        if not name.endswith(".weight"):
            continue
        module = name.removesuffix(".weight")
        if tensor.dtype == "U8":
            found[name] = nvfp4_tensor(checkpoint, module, "weight", "weight_scale_2")
        elif tensor.dtype in FLOAT8:
            found[name] = float8_tensor(checkpoint, module)
    drop_activation_scales(checkpoint)
    return found
