"""Checkpoints in MXFP4: values by transformers' formula for gpt-oss' experts, block for block.

What compressed-tensors says of its own is in tests/data/quantized (test_checkpoint_tensors.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from halfbyte.converting.convert import convert_path
from halfbyte.converting.options import Options
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.quantized.checkpoint_tensors import checkpoint_tensors
from halfbyte.converting.sources.quantized.mxfp4 import MXFP4Experts
from halfbyte.errors import ConversionError
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.formats.mxfp4 import MXFP4
from halfbyte.kernels.quantizers.quantize import dequantize

FP4 = np.float32([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
SETTINGS = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
NAME = "model.layers.0.mlp.experts."


def values(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """What blocks and scales stand for, (experts, rows, inputs): low nibbles at even places."""
    pairs = np.stack([FP4[blocks & 15], FP4[blocks >> 4]], -1).reshape(*scales.shape, 32)
    return np.ldexp(pairs, scales[..., None].astype(int) - 127).reshape(*scales.shape[:2], -1)


def random(rng: np.random.Generator, n: int, rows: int, inputs: int) -> tuple[np.ndarray, ...]:
    shape = (n, rows, inputs // 32)
    blocks = rng.integers(0, 256, (*shape, 16), dtype=np.uint8)
    return blocks, rng.integers(119, 124, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(
    benchmark_module: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A tiny gpt-oss as it is published: experts in MXFP4, all the rest in floats."""
    tiny_llama, path = benchmark_module("tiny_llama"), tmp_path_factory.mktemp("oss") / "hf"
    tiny = tiny_llama.Tiny("oss", 3, 64, 96, 2, 4, 2, 16, 323, 1.5e5, tied=False, kind="gpt_oss")
    tiny_llama.save(tiny, path)
    tensors, rng = load_file(path / "model.safetensors"), np.random.default_rng(1)
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        n, inputs, rows = tensors.pop(name).shape
        tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = random(rng, n, rows, inputs)
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"quantization_config": SETTINGS}))
    return path


def _convert(folder: Path, out: Path, **options: Any) -> GGUFFile:
    convert_path(folder, out, Options(measure=False, **options))
    return GGUFFile.open(out)


def test_rows_are_transformers_values(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    with closing(HFFolder(folder)) as opened:
        tensors: dict[str, Any] = checkpoint_tensors(opened)
        for name in ("gate_up_proj", "down_proj"):
            tensor = tensors[NAME + name]
            assert isinstance(tensor, MXFP4Experts)
            expected = values(stored[f"{NAME}{name}_blocks"], stored[f"{NAME}{name}_scales"])
            assert tensor.shape == expected.shape
            rows = expected.reshape(-1, expected.shape[-1])
            for index in (slice(None), slice(7, 250), np.array([130, 3]), slice(0, 0)):
                assert (tensor.rows(index) == rows[index]).all()
        gate, up = (
            tensors[f"{NAME}gate_up_proj"].part("x", i, 2, interleaved=True) for i in (0, 1)
        )
        expected = tensors[f"{NAME}gate_up_proj"].rows(slice(None)).reshape(-1, 2, 64)
        for i, one in enumerate((gate, up)):
            assert one.shape == (6, 96, 64)
            assert (one.rows(slice(90, 200)) == expected[90:200, i]).all()
        with pytest.raises(ValueError, match="in turns"):
            tensors[f"{NAME}gate_up_proj"].part("x", 0, 2, interleaved=False)


@pytest.mark.parametrize("kind", ["keep", "q8_0", "mxfp4_moe"])
def test_blocks_are_kept_bit_for_bit(folder: Path, tmp_path: Path, kind: str) -> None:
    stored = load_file(folder / "model.safetensors")
    with _convert(folder, tmp_path / "m.gguf", type=kind) as file:
        for i in range(2):
            at, name = f"blk.{i}.ffn_", f"model.layers.{i}.mlp.experts."
            both = [stored[f"{name}gate_up_proj_{part}"] for part in ("blocks", "scales")]
            down = [stored[f"{name}down_proj_{part}"] for part in ("blocks", "scales")]
            for short, (blocks, scales) in {
                "gate": [one[:, 0::2] for one in both],
                "up": [one[:, 1::2] for one in both],
                "down": down,
            }.items():
                assert file.tensors[f"{at}{short}_exps.weight"].format is MXFP4
                data = file.data(f"{at}{short}_exps.weight").view(MXFP4.dtype)
                assert (data["e"] == scales.reshape(-1)).all()
                expected = values(blocks, scales)
                rows = dequantize(data.view(np.uint8).reshape(-1, MXFP4.row_nbytes(
                    expected.shape[-1])), MXFP4, expected.shape[-1])  # fmt: skip
                assert (rows.reshape(expected.shape) == expected).all()
            biases = stored[f"{name}gate_up_proj_bias"]
            up = file.data(f"{at}up_exps.bias").view(np.float32).reshape(6, 96)
            assert (up == biases[:, 1::2]).all()


def test_a_pure_type_is_what_it_says(folder: Path, tmp_path: Path) -> None:
    with _convert(folder, tmp_path / "m.gguf", type="q4_0", pure=True) as file:
        assert file.tensors["blk.0.ffn_up_exps.weight"].type_name == "Q4_0"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"down_proj_scales": None}, "none of that name"),
        ({"down_proj_scales": np.zeros((6, 64, 2), np.uint8)}, "shape"),
        ({"down_proj_blocks": np.zeros((6, 64, 48), np.uint8)}, "shape"),
        ({"down_proj_blocks": np.zeros((6, 64, 3, 16), np.int8)}, "dtype"),
        ({"gate_up_proj_blocks": None, "gate_up_proj_scales": None}, "missing .*gate_up_proj"),
        ({"down_proj_scales": np.full((6, 64, 3), 255, np.uint8)}, "NaN or infinite"),
    ],
)
def test_what_does_not_fit_is_named(
    folder: Path, tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    tensors = load_file(folder / "model.safetensors")
    for name, value in change.items():
        del tensors[NAME + name]
        if value is not None:
            tensors[NAME + name] = value
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConversionError, match=match):
        _convert(tmp_path, tmp_path / "m.gguf")


PACKED = {
    "quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
        "num_bits": 4, "type": "float", "strategy": "group", "group_size": 32}}},
}  # fmt: skip


def packed(
    tiny_llama: ModuleType, path: Path, kind: str
) -> tuple[Path, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """A folder whose layers' matrices are as compressed-tensors has them, and their parts."""
    tiny = tiny_llama.Tiny("mx", 3, 64, 96, 2, 4, 2, 32, 323, 1e4, tied=False, kind=kind)
    tiny_llama.save(tiny, path)
    tensors, rng = load_file(path / "model.safetensors"), np.random.default_rng(2)
    found = {}
    for name in [one for one in tensors if ".layers." in one and tensors[one].ndim == 2]:
        if "mlp.gate.weight" in name:
            continue
        (blocks,), (scales,) = random(rng, 1, *tensors.pop(name).shape)
        tensors[f"{name}_packed"], tensors[f"{name}_scale"] = (
            blocks.reshape(len(blocks), -1),
            scales,
        )
        found[name] = blocks, scales
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"quantization_config": PACKED}))
    return path, found


@pytest.mark.parametrize("kind", ["llama", "qwen3_moe"])
def test_matrices_of_compressed_tensors_keep_their_blocks(
    kind: str, benchmark_module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """Rows of q and k too, which llama's files have in another order, and stacked experts."""
    path, parts = packed(benchmark_module("tiny_llama"), tmp_path / "hf", kind)
    with _convert(path, tmp_path / "kept.gguf", type="q8_0") as kept:
        with _convert(path, tmp_path / "f32.gguf", type="f32", pure=True) as plain:
            n = 0
            for name, info in kept.tensors.items():
                if info.format is not MXFP4:
                    continue
                n += int(np.prod(info.shape[:-2]))
                data = kept.data(name).reshape(-1, MXFP4.row_nbytes(info.shape[-1]))
                rows = dequantize(data, MXFP4, info.shape[-1])
                assert (rows.ravel() == plain.data(name).view(np.float32)).all()
        assert n == len(parts)
        at = "model.layers.1.self_attn.o_proj.weight"
        (expected,) = values(*(one[None] for one in parts[at]))
        data = kept.data("blk.1.attn_output.weight").reshape(64, -1)
        assert (dequantize(data, MXFP4, expected.shape[1]) == expected).all()


@pytest.mark.parametrize(
    ("part", "value", "match"),
    [
        ("scale", None, "none of that name"),
        ("scale", np.ones((64, 2), np.uint8), r"\(64, 3\)"),
        ("scale", np.ones((64, 3), np.float32), "dtype"),
        ("scale", np.full((64, 3), 255, np.uint8), "NaN or infinite"),
        ("packed", np.ones((64, 40), np.uint8), "groups of 32 inputs"),
        ("packed", np.ones((64, 3, 16), np.uint8), "two dimensions"),
        ("zero_point", np.ones((64, 3), np.uint8), "unknown .*weight_zero_point"),
    ],
)
def test_what_does_not_fit_of_compressed_tensors(
    part: str,
    value: np.ndarray | None,
    match: str,
    benchmark_module: Callable[[str], ModuleType],
    tmp_path: Path,
) -> None:
    path, _ = packed(benchmark_module("tiny_llama"), tmp_path / "hf", "llama")
    tensors = load_file(path / "model.safetensors")
    name = f"model.layers.0.mlp.down_proj.weight_{part}"
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConversionError, match=match):
        _convert(path, tmp_path / "m.gguf")
