"""Quantized checkpoints against what the packages that wrote them say they hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from halfbyte.converting.convert import convert_path
from halfbyte.converting.options import Options
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.quantized.checkpoint import Checkpoint
from halfbyte.converting.sources.quantized.checkpoint_tensors import METHODS, checkpoint_tensors
from halfbyte.converting.sources.safetensors_file import SafetensorsFile
from halfbyte.errors import ConversionError
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.quantizers.quantize import dequantize

GOLDEN = Path(__file__).parents[3] / "data" / "quantized"
FILES = sorted(GOLDEN.glob("*.safetensors"))


def settings_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="numpy") as file:
        found: dict[str, Any] = json.loads(file.metadata()["settings"])
    return found


def read(path: Path, **changed: Any) -> tuple[Any, np.ndarray]:
    """The matrix `m` as the method reads it, and what its package says."""
    stored = dict(SafetensorsFile(path).tensors)
    expected = stored.pop("expected").floats()
    settings = settings_of(path) | changed
    checkpoint = Checkpoint(path.parent, settings, stored)
    found = METHODS[settings["quant_method"]](checkpoint)
    assert not checkpoint.rest()
    return found["m.weight"], expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_values_are_those_of_the_method(path: Path) -> None:
    tensor, expected = read(path)
    assert tensor.shape == expected.shape
    assert (tensor.rows(slice(None)) == expected).all()
    some = np.array([5, 0, 31, 5])
    assert (tensor.rows(some) == expected[some]).all()
    assert (tensor.rows(slice(7, 9)) == expected[7:9]).all()
    tensor.release()
    assert (tensor.rows(slice(0, 0))).shape == (0, expected.shape[1])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("gptq-4-sym", "Q4_0"), ("packed-4-sym", "Q4_0"), ("gptq-8-sym", "Q8_0"),
        ("packed-8-channel", "Q8_0"), ("int-8-channel", "Q8_0"),
        ("gptq-4-asym", "Q8_0"), ("awq-4", "Q8_0"),  # scale times zero point needs too many bits
        ("gptq-4-asym-act", None), ("float-8-block", None), ("mxfp4-group", "MXFP4"),
    ],
)  # fmt: skip
def test_blocks_hold_the_same_numbers(name: str, wanted: str | None) -> None:
    tensor, expected = read(GOLDEN / f"{name}.safetensors")
    assert (tensor.format and tensor.format.name) == wanted
    if tensor.format is None:
        return
    some = np.array([31, 2])
    blocks = tensor.stored(some)
    assert (dequantize(blocks, tensor.format, expected.shape[1]) == expected[some]).all()


def test_zero_points_that_half_precision_holds_give_q4_1(tmp_path: Path) -> None:
    tensors = load_file(GOLDEN / "gptq-4-asym.safetensors")
    tensors["m.scales"] = np.full_like(tensors["m.scales"], 0.25)
    save_file(tensors, tmp_path / "x", {"settings": json.dumps(settings_of(FILES[0]))})
    file = SafetensorsFile(tmp_path / "x")
    stored = {name: t for name, t in file.tensors.items() if name != "expected"}
    settings = settings_of(GOLDEN / "gptq-4-asym.safetensors")
    tensor = METHODS["gptq"](Checkpoint(tmp_path, settings, stored))["m.weight"]
    assert tensor.format is not None and tensor.format.name == "Q4_1"
    values = dequantize(tensor.stored(slice(None)), tensor.format, tensor.shape[1])
    assert (values == tensor.rows(slice(None))).all()


@pytest.mark.parametrize(
    ("name", "changed", "match"),
    [
        ("gptq-4-sym", {"bits": 3}, "bits: expected 4 or 8, got 3"),
        ("gptq-4-sym", {"bits": True}, "bits"),
        ("gptq-4-sym", {"checkpoint_format": "marlin"}, "checkpoint_format"),
        ("gptq-4-sym", {"dynamic": {"-:lm_head": {}}}, "dynamic"),
        ("gptq-4-sym", {"group_size": 64}, "shape"),
        ("gptq-4-sym", {"group_size": 0}, "group_size"),
        ("gptq-4-sym", {"group_size": "32"}, "group_size"),
        ("gptq-4-sym", {"bits": 8}, "shape"),
        ("awq-4", {"version": "gemv"}, "version"),
        ("packed-4-sym", {"quantization_status": "frozen"}, "quantization_status"),
        ("packed-4-sym", {"sparsity_config": {"format": "sparse-24"}}, "sparsity_config"),
        ("packed-4-sym", {"transform_config": {"R1": {}}}, "transform_config"),
        ("packed-4-sym", {"config_groups": {}}, "a group for m"),
        ("packed-4-sym", {"config_groups": [1]}, "config_groups"),
        ("packed-4-sym", {"format": "mxfp8-quantized"}, "weights"),
        ("float-8-block", {"config_groups": {"g": {"targets": ["m"], "format": "float-quantized",
         "weights": {"num_bits": 8, "type": "float", "strategy": "block",
                     "block_structure": [0, 64]}}}}, "weight_block_size"),
    ],
)  # fmt: skip
def test_other_variants_are_refused_by_name(name: str, changed: dict[str, Any], match: str) -> None:
    path = GOLDEN / f"{name}.safetensors"
    if name == "packed-4-sym" and "format" in changed:
        groups = settings_of(path)["config_groups"]
        groups["group_0"]["format"] = None
        changed = changed | {"config_groups": groups}
    with pytest.raises(ConversionError, match=match):
        read(path, **changed)


def test_modules_are_named_before_classes_and_costly_patterns_match_nothing() -> None:
    path = GOLDEN / "packed-4-sym.safetensors"
    group = settings_of(path)["config_groups"]["group_0"]
    other = group | {"weights": group["weights"] | {"group_size": 5}}
    tensor, expected = read(path, config_groups={"a": other, "b": group | {"targets": ["re:^m$"]}})
    assert (tensor.rows(slice(None)) == expected).all()
    for pattern in ("re:(a*)*m", "re:(", "re:.*.*.*.*m", 5):
        with pytest.raises(ConversionError, match="a group for m"):
            read(path, config_groups={"b": group | {"targets": [pattern]}})


def test_groups_out_of_range_are_refused(tmp_path: Path) -> None:
    tensors = load_file(GOLDEN / "gptq-4-sym.safetensors")
    tensors["m.g_idx"][3] = 4
    path = tmp_path / "x.safetensors"
    save_file(tensors, path)
    stored = {n: t for n, t in SafetensorsFile(path).tensors.items() if n != "expected"}
    settings = settings_of(GOLDEN / "gptq-4-sym.safetensors")
    with pytest.raises(ConversionError, match="groups from 0 to 3"):
        METHODS["gptq"](Checkpoint(tmp_path, settings, stored))


@pytest.fixture
def quantized_folder(tiny_folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A model with matrices in GPTQ's form, and the same with what they stand for."""
    rng = np.random.default_rng(0)
    packed, plain = (Path(shutil.copytree(tiny_folder, tmp_path / n)) for n in ("packed", "plain"))
    tensors = load_file(plain / "model.safetensors")
    quantized = dict(tensors)
    for name in [n for n in tensors if n.endswith("_proj.weight")]:
        n_rows, n_inputs = tensors[name].shape
        codes = rng.integers(0, 16, (n_inputs, n_rows), np.uint32)
        scales = rng.uniform(0.01, 0.02, (n_inputs // 32, n_rows)).astype(np.float16)
        zeros = np.full((n_inputs // 32, n_rows), 7, np.uint32)
        module = name.removesuffix(".weight")
        del quantized[name]
        quantized[f"{module}.qweight"] = words(codes, 0)
        quantized[f"{module}.qzeros"] = words(zeros, 1)
        quantized[f"{module}.scales"] = scales
        wide = np.repeat(scales.astype(np.float32), 32, axis=0)
        tensors[name] = ((codes.astype(np.float32) - 8) * wide).T.copy()
    save_file(quantized, packed / "model.safetensors")
    save_file(tensors, plain / "model.safetensors")
    config = json.loads((packed / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    (packed / "config.json").write_text(json.dumps(config))
    return packed, plain


def words(codes: np.ndarray, axis: int) -> np.ndarray:
    """Eight codes a word along an axis, the first in the lowest bits."""
    parts = np.moveaxis(codes, axis, 0).reshape(-1, 8, codes.shape[1 - axis])
    packed = sum(parts[:, i] << np.uint32(4 * i) for i in range(8))
    return np.moveaxis(np.asarray(packed, np.uint32), 0, axis).astype(np.int32)


@pytest.mark.parametrize("type", ["f32", "q4_k_m"])
def test_a_converted_checkpoint_is_that_of_its_values(
    quantized_folder: tuple[Path, Path], tmp_path: Path, type: str
) -> None:
    packed, plain = quantized_folder
    for path in (packed, plain):
        convert_path(path, tmp_path / f"{path.name}.gguf", Options(type=type, measure=False))
    with (
        GGUFFile.open(tmp_path / "packed.gguf") as ours,
        GGUFFile.open(tmp_path / "plain.gguf") as theirs,
    ):
        assert ours.tensors.keys() == theirs.tensors.keys()
        for name in ours.tensors:
            assert (ours.data(name) == theirs.data(name)).all(), name


def test_keep_takes_the_codes_as_they_are(
    quantized_folder: tuple[Path, Path], tmp_path: Path
) -> None:
    packed, plain = quantized_folder
    report = convert_path(packed, tmp_path / "kept.gguf", Options(type="keep", measure=False))
    convert_path(plain, tmp_path / "plain.gguf", Options(type="f32", measure=False))
    formats = {tensor.name: tensor.format.name for tensor in report.tensors}
    assert formats["blk.0.attn_q.weight"] == formats["blk.1.ffn_down.weight"] == "Q4_0"
    assert formats["blk.0.attn_norm.weight"] == "F32"
    with (
        GGUFFile.open(tmp_path / "kept.gguf") as kept,
        GGUFFile.open(tmp_path / "plain.gguf") as exact,
    ):
        for name, info in kept.tensors.items():
            assert info.format is not None
            n = info.shape[-1]
            rows = kept.data(name).reshape(-1, info.format.row_nbytes(n))
            values = dequantize(rows, info.format, n)
            assert (values.ravel() == exact.data(name).view(np.float32)).all(), name


def test_keep_refuses_what_it_would_have_to_round(
    quantized_folder: tuple[Path, Path], tmp_path: Path
) -> None:
    packed, _ = quantized_folder
    tensors = load_file(packed / "model.safetensors")
    module = "model.layers.1.mlp.up_proj"
    n_inputs = 8 * len(tensors[f"{module}.qweight"])
    tensors[f"{module}.g_idx"] = (np.arange(n_inputs, dtype=np.int32)[::-1] // 16 % 2).copy()
    save_file(tensors, packed / "model.safetensors")
    with pytest.raises(ConversionError, match=r"blk\.1\.ffn_up\.weight"):
        convert_path(packed, tmp_path / "x.gguf", Options(type="keep", measure=False))
    assert not list(tmp_path.glob("x.gguf*"))


@pytest.mark.parametrize("method", ["bitsandbytes", None, ["gptq"], "hqq"])
def test_unknown_methods_are_refused_by_name(tiny_folder: Path, method: object) -> None:
    folder = HFFolder(tiny_folder)
    folder.config = {"quantization_config": {"quant_method": method}}
    with pytest.raises(ConversionError, match="quant_method") as caught:
        checkpoint_tensors(folder)
    assert repr(method) in str(caught.value)
