"""Make tests/data/quantized: small matrices as real quantizers pack them, and what they stand for.

Needs, beside torch and transformers, the packages compressed-tensors, auto-gptq and autoawq (whose
Python files are enough; nothing is compiled):

    PYTHONPATH=PACKAGES python benchmarks/make_quantized_golden.py tests/data/quantized

Each file holds one matrix `m` under the names of its method, `expected` in float32 as the method's
own package computes it, and, in its metadata, the settings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

N_ROWS, N_INPUTS, GROUP = 32, 128, 32


def weights(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N_ROWS, N_INPUTS, generator=generator)


def grid(w: torch.Tensor, bits: int, *, symmetric: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales in half precision and zero points of each group: (N, G)."""
    groups = w.reshape(N_ROWS, -1, GROUP)
    largest = (1 << bits) - 1
    if symmetric:
        scale = 2 * groups.abs().amax(-1) / largest
        return scale.half().float(), torch.full_like(scale, (largest + 1) // 2)
    low, high = groups.amin(-1).clamp(max=-0.1), groups.amax(-1)
    scale = ((high - low) / largest).half().float()
    return scale, torch.round(-low / scale).clamp(1, largest)


def gptq(bits: int, *, symmetric: bool, ordered: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    from auto_gptq.nn_modules.qlinear.qlinear_cuda import QuantLinear

    w = weights(bits + symmetric)
    scale, zero = grid(w, bits, symmetric=symmetric)
    index = torch.arange(N_INPUTS, dtype=torch.int32) // GROUP
    if not ordered:
        index = index[torch.randperm(N_INPUTS, generator=torch.Generator().manual_seed(5))]
    linear = torch.nn.Linear(N_INPUTS, N_ROWS, bias=False)
    columns = [
        (torch.round(w[:, k] / scale[:, g] + zero[:, g]).clamp(0, (1 << bits) - 1) - zero[:, g])
        * scale[:, g]
        for k, g in enumerate(index.tolist())
    ]
    linear.weight.data = torch.stack(columns, 1)
    layer = QuantLinear(bits, GROUP, N_INPUTS, N_ROWS, bias=False, weight_dtype=torch.float32)
    layer.pack(linear, scale, zero, index)
    expected = layer.float()(torch.eye(N_INPUTS)).T
    tensors = {name: getattr(layer, name) for name in ("qweight", "qzeros", "g_idx")}
    tensors["scales"] = layer.scales.half()
    settings = {
        "quant_method": "gptq", "bits": bits, "group_size": GROUP, "sym": symmetric,
        "desc_act": not ordered,
    }  # fmt: skip
    return settings, tensors | {"expected": expected}


def awq() -> tuple[dict[str, Any], dict[str, Any]]:
    from awq.modules.linear.gemm import WQLinear_GEMM
    from awq.utils.packing_utils import dequantize_gemm

    w = weights(9)
    scale, zero = grid(w, 4, symmetric=False)
    codes = torch.round(w.reshape(N_ROWS, -1, GROUP) / scale[..., None] + zero[..., None])
    exact = (codes.clamp(0, 15) - zero[..., None]) * scale[..., None]
    linear = torch.nn.Linear(N_INPUTS, N_ROWS, bias=False)
    linear.weight.data = exact.reshape(N_ROWS, N_INPUTS)
    scales, zeros = scale.T.contiguous(), zero.T.contiguous()
    layer = WQLinear_GEMM.from_linear(linear, 4, GROUP, scales=scales, zeros=zeros)
    parts = layer.qweight, layer.qzeros, layer.scales
    expected = dequantize_gemm(parts[0], parts[1], parts[2].float(), 4, GROUP).T
    settings = {
        "quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm",
        "zero_point": True,
    }  # fmt: skip
    names = ("qweight", "qzeros", "scales")
    return settings, dict(zip(names, parts, strict=True)) | {"expected": expected}


def compressed(
    form: str, kind: str, bits: int, strategy: str, *, symmetric: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    w = weights(20 + bits + symmetric)
    extra: dict[str, Any] = {"group": {"group_size": GROUP}, "block": {"block_structure": [16, 64]}}
    args = QuantizationArgs(
        num_bits=bits, type=kind, symmetric=symmetric, strategy=strategy, **extra.get(strategy, {})
    )
    parts = {
        "group": w.reshape(N_ROWS, -1, GROUP), "channel": w[:, None, :],
        "tensor": w.reshape(1, 1, -1),
        "block": w.reshape(2, 16, 2, 64).permute(0, 2, 1, 3).reshape(2, 2, -1),
    }[strategy]  # fmt: skip
    scale, zero = calculate_qparams(parts.amin(-1), parts.amax(-1), args)
    scale = scale.bfloat16()
    if strategy == "tensor":
        scale, zero = scale.reshape(1), zero.reshape(1)
    scheme = QuantizationScheme(targets=["Linear"], weights=args, format=form)
    state = {"weight": w.bfloat16(), "weight_scale": scale}
    if not symmetric:
        state["weight_zero_point"] = zero
    compressor = BaseCompressor.get_value_from_registry(form)
    packed = compressor.compress(state, scheme)
    wide = {k: v.float() if k == "weight_scale" else v for k, v in packed.items()}
    expected = compressor.decompress(wide, scheme)["weight"].float()
    settings = {
        "quant_method": "compressed-tensors", "format": form, "quantization_status": "compressed",
        "config_groups": {"group_0": json.loads(scheme.model_dump_json())},
    }  # fmt: skip
    return settings, packed | {"expected": expected}


CASES = {
    "gptq-4-sym": lambda: gptq(4, symmetric=True, ordered=True),
    "gptq-4-asym": lambda: gptq(4, symmetric=False, ordered=True),
    "gptq-4-asym-act": lambda: gptq(4, symmetric=False, ordered=False),
    "gptq-8-sym": lambda: gptq(8, symmetric=True, ordered=True),
    "awq-4": awq,
    "packed-4-sym": lambda: compressed("pack-quantized", "int", 4, "group"),
    "packed-4-asym": lambda: compressed("pack-quantized", "int", 4, "group", symmetric=False),
    "packed-8-channel": lambda: compressed("pack-quantized", "int", 8, "channel"),
    "int-8-channel": lambda: compressed("int-quantized", "int", 8, "channel"),
    "int-8-asym": lambda: compressed("int-quantized", "int", 8, "channel", symmetric=False),
    "float-8-channel": lambda: compressed("float-quantized", "float", 8, "channel"),
    "float-8-tensor": lambda: compressed("float-quantized", "float", 8, "tensor"),
    "float-8-block": lambda: compressed("float-quantized", "float", 8, "block"),
    "mxfp4-group": lambda: compressed("mxfp4-pack-quantized", "float", 4, "group"),
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in CASES.items():
        settings, tensors = make()
        named = {
            k if k == "expected" else f"m.{k}": v.detach().contiguous() for k, v in tensors.items()
        }
        save_file(named, folder / f"{name}.safetensors", {"settings": json.dumps(settings)})
        print(name, {k: (str(v.dtype), tuple(v.shape)) for k, v in named.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
