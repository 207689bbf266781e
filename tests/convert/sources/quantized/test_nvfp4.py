"""Checkpoints in NVFP4, as ModelOpt and compressed-tensors write them: values, and blocks."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

import halfbyte
from halfbyte.converting.convert import convert_path
from halfbyte.converting.options import Options
from halfbyte.converting.plan import make_plan
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.quantized.checkpoint_tensors import checkpoint_tensors
from halfbyte.converting.sources.source import open_source
from halfbyte.errors import ConversionError
from halfbyte.gguf.factors import matrix_factors
from halfbyte.gguf.file import GGUFFile

FP4 = np.float32([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
MODELOPT = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
PACKED = {
    "quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
        "num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}}},
}  # fmt: skip


def e4m3(code: np.ndarray) -> np.ndarray:
    """Positive ones, as the gguf package has no table of them."""
    exponent, mantissa = (code >> 3).astype(int), code & 7
    return np.where(exponent == 0, mantissa / 8 * 2.0**-6,
                    (1 + mantissa / 8) * np.exp2(exponent - 7)).astype(np.float32)  # fmt: skip


def save(path: Path, tensors: dict[str, tuple[str, np.ndarray]]) -> None:
    """A safetensors file, whose library knows no floats of 8 bits in NumPy."""
    header, data = {}, b""
    for name, (dtype, values) in tensors.items():
        raw = np.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}  # fmt: skip
        data += raw
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)


class Made:
    """A folder whose layers' matrices are in NVFP4, and what they stand for."""

    def __init__(self, folder: Path, form: str) -> None:
        self.folder, self.values = folder, dict[str, np.ndarray]()
        rng, made = np.random.default_rng(4), dict[str, tuple[str, np.ndarray]]()
        for name, values in load_file(folder / "model.safetensors").items():
            if values.ndim < 2 or ".layers." not in name or "mlp.gate.weight" in name:
                made[name] = ("F32", values.astype(np.float32))
                continue
            n, k = values.shape
            codes = rng.integers(0, 256, (n, k // 2), np.uint8)
            scales = rng.integers(8, 24, (n, k // 16), np.uint8)
            factor = np.float32(rng.uniform(0.5, 2))
            pairs = np.stack([FP4[codes & 15], FP4[codes >> 4]], -1).reshape(n, k)
            self.values[name] = pairs * e4m3(scales).repeat(16, -1) * factor
            made[f"{name}_scale"] = ("F8_E4M3", scales)
            if form == "modelopt":
                made[name] = ("U8", codes)
                made[f"{name}_scale_2"] = ("F32", np.array(factor))
                made[name.replace("weight", "input_scale")] = ("F32", np.array(factor))
            else:
                made[f"{name}_packed"] = ("U8", codes)
                made[f"{name}_global_scale"] = ("F32", 1 / np.array([factor]))
                made[name.replace("weight", "input_global_scale")] = ("F32", np.ones(1, "f4"))
        self.tensors = made
        self.write(MODELOPT if form == "modelopt" else PACKED)

    def write(self, settings: dict[str, Any]) -> None:
        save(self.folder / "model.safetensors", self.tensors)
        config = json.loads((self.folder / "config.json").read_text())
        (self.folder / "config.json").write_text(
            json.dumps(config | {"quantization_config": settings})
        )


Make = Callable[..., Made]


@pytest.fixture
def make(benchmark_module: Callable[[str], ModuleType], tmp_path: Path) -> Make:
    def make(form: str, kind: str = "llama", dim: int = 64) -> Made:
        tiny_llama, folder = benchmark_module("tiny_llama"), tmp_path / "hf"
        tiny = tiny_llama.Tiny("fp4", 3, dim, 128, 2, 4, 2, 32, 323, 1e4, tied=False, kind=kind)
        tiny_llama.save(tiny, folder)
        return Made(folder, form)

    return make


@pytest.mark.parametrize("form", ["modelopt", "compressed"])
def test_rows_are_what_codes_scales_and_factor_make(form: str, make: Make) -> None:
    made = make(form)
    with closing(HFFolder(made.folder)) as opened:
        tensors: dict[str, Any] = checkpoint_tensors(opened)
        assert made.values.keys() <= tensors.keys()
        for name, expected in made.values.items():
            for index in (slice(None), slice(3, 9), np.array([5, 1]), slice(0, 0)):
                found = tensors[name].rows(index)
                np.testing.assert_allclose(found, expected[index], rtol=3e-7)
        # Nothing is left of what they are made of.
        assert not [name for name in tensors if "scale" in name or "packed" in name]


@pytest.mark.parametrize(("form", "kind"), [("modelopt", "llama"), ("compressed", "qwen3_moe")])
def test_blocks_stay_as_they_are(form: str, kind: str, make: Make, tmp_path: Path) -> None:
    """Rows of q and k too, which llama's files have in another order."""
    made = make(form, kind)
    files = {}
    for type in ("q8_0", "keep", "f32"):
        options = Options(type=type, measure=False, pure=type == "f32")
        convert_path(made.folder, tmp_path / type, options)
        files[type] = GGUFFile.open(tmp_path / type)
    plain, n = files["f32"], 0
    for type in ("q8_0", "keep"):
        for name, info in files[type].tensors.items():
            if info.type_name != "NVFP4":
                continue
            n += 1
            raw = files[type].data(name).reshape(-1, info.format.row_nbytes(info.shape[-1]))
            values = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType.NVFP4)
            values = values.reshape(len(matrix_factors(files[type], info)), -1, values.shape[-1])
            values *= matrix_factors(files[type], info)[:, None, None]
            np.testing.assert_allclose(values.ravel(), plain.data(name).view("f4"), rtol=3e-7)
    assert n >= 2 * 2 * 7 - (kind == "qwen3_moe") * 2
    assert plain.tensors.keys() < files["keep"].tensors.keys()
    ids = list(range(1, 20, 2))
    with halfbyte.load(tmp_path / "f32", threads=1) as model:
        expected = model.logits(ids)
    with halfbyte.load(tmp_path / "keep", threads=1) as model:
        rows = np.abs(model.logits(ids) - expected).max(-1)
    # Of some rows rounding chooses other experts.
    assert np.median(rows) < 0.04 * np.abs(expected).max()
    # A file made of it keeps blocks and factors, or quantizes what they stand for.
    convert_path(tmp_path / "keep", tmp_path / "again", Options(type="keep", measure=False))
    with GGUFFile.open(tmp_path / "again") as again:
        assert all((again.data(name) == files["keep"].data(name)).all() for name in again.tensors)
        assert again.tensors.keys() == files["keep"].tensors.keys()
    options = Options(type="f32", measure=False, pure=True)
    convert_path(tmp_path / "keep", tmp_path / "floats", options)
    with GGUFFile.open(tmp_path / "floats") as floats:
        name = "blk.0.attn_output.weight"
        np.testing.assert_allclose(floats.data(name).view("f4"), plain.data(name).view("f4"), 3e-7)


def test_rows_that_are_no_whole_blocks_are_quantized(make: Make, tmp_path: Path) -> None:
    made = make("modelopt", dim=96)
    convert_path(made.folder, tmp_path / "m", Options(type="q8_0", measure=False))
    with GGUFFile.open(tmp_path / "m") as file:
        assert file.tensors["blk.0.attn_q.weight"].type_name == "Q8_0"
        assert file.tensors["blk.0.attn_output.weight"].type_name == "NVFP4"
        assert "blk.0.attn_q.scale" not in file.tensors
    with pytest.raises(ConversionError, match="type keep"):
        convert_path(made.folder, tmp_path / "k", Options(type="keep", measure=False))


def test_calibration_takes_a_type_that_can_be_calibrated(make: Make) -> None:
    with closing(open_source(make("modelopt").folder)) as source:
        plan = make_plan(source, "q4_0", pure=False, calibrates=True)
        assert {tensor.format.name for tensor in plan.tensors} == {"F32", "Q4_0", "Q8_0"}
        plan = make_plan(source, "q4_0", pure=False)
        assert "NVFP4" in {tensor.format.name for tensor in plan.tensors}


def test_a_file_of_its_own_may_say_it(make: Make) -> None:
    made = make("modelopt")
    config = json.loads((made.folder / "config.json").read_text())
    del config["quantization_config"]
    (made.folder / "config.json").write_text(json.dumps(config))
    stated = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}
    (made.folder / "hf_quant_config.json").write_text(json.dumps(stated))
    with closing(HFFolder(made.folder)) as opened:
        tensors: dict[str, Any] = checkpoint_tensors(opened)
    assert all(tensors[name].is_quantized for name in made.values)


NAME = "model.layers.0.mlp.down_proj.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(f"{NAME}_scale_2"), "down_proj.weight_scale_2"),
        (lambda t: t.update({f"{NAME}_scale_2": ("F32", np.zeros((), "f4"))}), "a number above 0"),
        (lambda t: t.update({f"{NAME}_scale_2": ("F32", np.array(np.nan, "f4"))}), "above 0"),
        (lambda t: t.update({f"{NAME}_scale_2": ("F32", np.ones(2, "f4"))}), r"expected \(\)"),
        (lambda t: t.update({f"{NAME}_scale": ("F8_E4M3", np.ones((64, 4), "u1"))}), r"\(64, 8\)"),
        (lambda t: t.update({f"{NAME}_scale": ("F32", np.ones((64, 8), "f4"))}), "F8_E4M3"),
        (lambda t: t.update({f"{NAME}_scale": ("F8_E4M3", np.full((64, 8), 0x7F, "u1"))}),
         "no numbers"),
        (lambda t: t.update({f"{NAME}_scale": ("F8_E4M3", np.full((64, 8), 0x90, "u1"))}),
         "negative"),
        (lambda t: t.update({NAME: ("U8", np.ones((64, 4, 16), "u1"))}), "two dimensions"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    change: Callable[[dict[str, Any]], Any], said: str, make: Make, tmp_path: Path
) -> None:
    made = make("modelopt")
    change(made.tensors)
    made.write(MODELOPT)
    with pytest.raises(ConversionError, match=said):
        convert_path(made.folder, tmp_path / "m", Options(type="q8_0", measure=False))


def test_other_algorithms_are_refused_by_name(make: Make, tmp_path: Path) -> None:
    made = make("modelopt")
    for settings, said in (
        ({**MODELOPT, "quant_algo": "NVFP4_AWQ"}, "NVFP4_AWQ"),
        ({"quant_method": "modelopt"}, "quant_algo"),
    ):
        made.write(settings)
        with pytest.raises(ConversionError, match=said):
            convert_path(made.folder, tmp_path / "m", Options(type="q8_0", measure=False))
