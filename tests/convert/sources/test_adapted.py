"""Adapters merged into what is converted: the bytes of weights that were trained so."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

import halfbyte
from halfbyte.cli import main
from halfbyte.conversion import plan_conversion
from halfbyte.converting.sources.adapted import open_adapted
from halfbyte.errors import ModelFileError, RequestError, UnsupportedModelError

AT = "model.layers.1.mlp.up_proj"
NAME = "blk.1.ffn_up.weight"


@pytest.fixture(scope="module")
def adapters(
    tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory,
    benchmark_module: Callable[[str], ModuleType],
) -> list[Path]:  # fmt: skip
    """Two of the tiny checkpoint, one of them with its head."""
    made, root = benchmark_module("tiny_adapter"), tmp_path_factory.mktemp("adapters")
    weights = load_file(tiny_folder / "model.safetensors")
    return [
        made.save(made.TinyAdapter(i, 3 + i, 6, has_head=bool(i)), weights, root / f"a{i}")
        for i in range(2)
    ]


def tensors_of(path: Path) -> dict[str, Any]:
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def delta(folder: Path, module: str) -> Any:
    stored = load_file(folder / "adapter_model.safetensors")
    at = f"base_model.model.{module}.lora"
    a, b = stored[f"{at}_A.weight"], stored[f"{at}_B.weight"]
    return b.astype(np.float64) @ a * (6 / len(a))


@pytest.mark.parametrize("kind", ["f32", "q8_0", "keep"])
def test_the_weights_are_those_of_a_merged_model(
    kind: str, tiny_folder: Path, adapters: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    chosen = [adapters[0], (adapters[1], -0.5)]
    halfbyte.convert(tiny_folder, out, type=kind, pure=kind != "keep", measure=False,
                     adapter=chosen)  # fmt: skip
    found, source = tensors_of(out), load_file(tiny_folder / "model.safetensors")
    exact = source[f"{AT}.weight"] + delta(adapters[0], AT) - 0.5 * delta(adapters[1], AT)
    head = source["lm_head.weight"] - 0.5 * delta(adapters[1], "lm_head")
    for name, wanted in ((NAME, exact), ("output.weight", head)):
        tensor = found[name]
        got = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        step = np.abs(wanted).max() / 127 if kind == "q8_0" else 1e-6
        assert np.abs(got - wanted).max() <= step
    q = source["model.layers.0.self_attn.q_proj.weight"] + delta(
        adapters[0], "model.layers.0.self_attn.q_proj"
    ) - 0.5 * delta(adapters[1], "model.layers.0.self_attn.q_proj")  # fmt: skip
    q = q.reshape(4, 2, 8, 64).swapaxes(1, 2).reshape(64, 64)  # LlamaModel.permute
    tensor = found["blk.0.attn_q.weight"]
    got = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    assert np.abs(got - q).max() <= (np.abs(q).max() / 127 if kind == "q8_0" else 1e-6)


def test_merged_is_near_what_a_call_computes(
    tiny_folder: Path, tiny_gguf: Path, adapters: list[Path], tmp_path: Path
) -> None:
    """Of the same type: they differ by the rounding of weights."""
    out, ids = tmp_path / "out.gguf", list(range(3, 50))
    report = halfbyte.convert(tiny_folder, out, adapter=adapters[0])
    assert report.figures is not None and report.figures.kl_mean < 1e-2  # beside the merged one
    with halfbyte.load(out, threads=1) as merged, halfbyte.load(tiny_gguf, threads=1) as model:
        model.load_adapter(adapters[0], name="a")
        wanted, plain = merged.logits(ids), model.logits(ids)
        error = np.abs(model.logits(ids, adapter="a") - wanted).mean()
        assert error < 0.05 * np.abs(wanted).mean() < np.abs(plain - wanted).mean()


def test_a_quantized_file_takes_them_too(
    tiny_gguf: Path, adapters: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out.gguf"
    halfbyte.convert(tiny_gguf, out, type="q4_0", measure=False, adapter=adapters[0])
    assert "are quantized already" in caplog.text
    base, found = tensors_of(tiny_gguf)[NAME], tensors_of(out)[NAME]
    wanted = gguf.quants.dequantize(base.data, base.tensor_type) + delta(adapters[0], AT)
    got = gguf.quants.dequantize(found.data, found.tensor_type)
    assert np.abs(got - wanted).max() <= np.abs(wanted).max() / 7


def test_what_is_refused(
    tiny_folder: Path, adapters: list[Path], tmp_path: Path,
    benchmark_module: Callable[[str], ModuleType],
) -> None:  # fmt: skip
    llama = benchmark_module("tiny_llama")
    llama.save(llama.Tiny("t", 7, 64, 96, 2, 4, 2, 16, 300, 1e4, tied=True), tmp_path / "tied")
    with pytest.raises(UnsupportedModelError, match=r"lm_head: .*the embedding"):
        open_adapted(tmp_path / "tied", adapters[1])
    llama.save(llama.Tiny("t", 7, 32, 96, 2, 2, 2, 16, 300, 1e4, tied=True), tmp_path / "other")
    with pytest.raises(ModelFileError, match=r"an adapter of this model's matrices"):
        halfbyte.convert(tmp_path / "other", tmp_path / "x.gguf", adapter=adapters[0])
    for bad in ((adapters[0], math.nan), 3):
        with pytest.raises(RequestError, match=r"^adapter: expected"):
            halfbyte.convert(tiny_folder, tmp_path / "x.gguf", adapter=bad)  # type: ignore[arg-type]
    assert not (tmp_path / "x.gguf").exists()
    plan = plan_conversion(tiny_folder, adapter=adapters[1])
    assert plan.tensors == plan_conversion(tiny_folder).tensors


def test_the_command_line(
    tiny_folder: Path, adapters: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    halfbyte.convert(tiny_folder, theirs, adapter=[(adapters[0], 0.5), adapters[1]], measure=False)
    code = main([
        "convert", str(tiny_folder), str(ours), "--no-measure",
        "--adapter", f"{adapters[0]}=0.5", "--adapter", str(adapters[1]),
    ])  # fmt: skip
    assert code == 0
    assert ours.read_bytes() == theirs.read_bytes()
    prompt = ["complete", "ab cd", "-n", "8", "-q", "-t", "1", "-m"]
    halfbyte.convert(tiny_folder, tmp_path / "base.gguf", measure=False)
    said = []
    for adapter in ([], ["--adapter", f"{adapters[1]}=1"]):
        assert main([*prompt, str(tmp_path / "base.gguf"), *adapter]) == 0
        said.append(capsys.readouterr().out)
    with halfbyte.load(tmp_path / "base.gguf", threads=1, adapter=adapters[1]) as model:
        assert said[1] == model.complete("ab cd", max_tokens=8).text != said[0]
    assert main([*prompt, str(tmp_path / "base.gguf"), "--adapter", "nowhere"]) != 0
    assert "nowhere: expected a folder with adapter_config.json" in capsys.readouterr().err
