"""Convolutions of a checkpoint: torch's dimension of 1, and layers that are not what was stated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest

import halfbyte
from halfbyte.errors import ConversionError, ModelFileError

Loader = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def tiny_llama(benchmark_module: Loader) -> ModuleType:
    return benchmark_module("tiny_llama")


def folder_of(tiny_llama: ModuleType, path: Path, **stated: Any) -> Path:
    """LFM2: a convolution, attention and a convolution; config.json says what is stated."""
    tiny = tiny_llama.Tiny("t", 1, 64, 96, 3, 4, 2, 16, 323, 1e6, tied=True, kind="lfm2")
    tiny_llama.save(tiny, path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | stated))
    return path


def test_a_file_has_them_as_llama_cpp_writes_them(tiny_llama: ModuleType, tmp_path: Path) -> None:
    folder = folder_of(tiny_llama, tmp_path / "hf")
    for kind in ("f32", "q4_0"):
        halfbyte.convert(folder, tmp_path / "m.gguf", type=kind, measure=False, force=True)
        reader = gguf.GGUFReader(tmp_path / "m.gguf")
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        taps = tensors["blk.2.shortconv.conv.weight"]
        assert taps.shape.tolist() == [3, 64] and taps.tensor_type.name == "F32"
        weights = tiny_llama.weights(
            tiny_llama.Tiny("t", 1, 64, 96, 3, 4, 2, 16, 323, 1e6, tied=True, kind="lfm2")
        )
        assert (taps.data == weights["model.layers.2.conv.conv.weight"][:, 0]).all()
        assert tensors["blk.0.shortconv.in_proj.weight"].tensor_type.name == kind.upper()
        assert "token_embd_norm.weight" in tensors and "blk.1.attn_q.weight" in tensors
    heads = reader.fields["lfm2.attention.head_count_kv"].contents()
    assert (heads, reader.fields["lfm2.shortconv.l_cache"].contents()) == ([0, 2, 0], 3)


def test_a_calibrated_file_has_them_too(tiny_llama: ModuleType, tmp_path: Path) -> None:
    folder, text = folder_of(tiny_llama, tmp_path / "hf"), tmp_path / "text"
    text.write_text("def f(x):\n    return x\n" * 25)
    for options in ({}, {"calibrate": text}):
        path = tmp_path / f"{len(options)}.gguf"
        halfbyte.convert(folder, path, type="q4_0", measure=False, **options)
    plain, calibrated = (
        [(t.name, t.tensor_type, t.shape.tolist()) for t in gguf.GGUFReader(path).tensors]
        for path in (tmp_path / "0.gguf", tmp_path / "1.gguf")
    )
    assert plain == calibrated


@pytest.mark.parametrize(
    ("stated", "got"),
    [
        ({"layer_types": ["full_attention", "conv", "conv"]},
         r"missing model.layers.0.self_attn.*unknown model.layers.0.conv"),
        ({"conv_L_cache": 4}, r"conv.conv.weight is \(64, 1, 3\), not \(64, 4\)"),
        ({"conv_bias": True}, r"missing model.layers.\{0,2\}.conv.in_proj.bias"),
        ({"block_auto_adjust_ff_dim": False, "intermediate_size": 100}, r"not \(100, 64\)"),
    ],
)  # fmt: skip
def test_what_contradicts_the_tensors_is_one_error(
    tiny_llama: ModuleType, tmp_path: Path, stated: dict[str, Any], got: str
) -> None:
    folder = folder_of(tiny_llama, tmp_path / "hf", **stated)
    with pytest.raises(ConversionError, match=got):
        halfbyte.convert(folder, tmp_path / "m.gguf", type="f32")


@pytest.mark.parametrize(
    ("key", "value", "got"),
    [
        ("attention.head_count_kv", [2, 0, 0], r"blk.0.attn_q.weight"),
        ("shortconv.l_cache", 5, r"blk.0.shortconv.conv.weight \(64, 5\), not \(64, 3\)"),
    ],
)  # fmt: skip
def test_so_it_is_in_a_file(
    tiny_llama: ModuleType, tmp_path: Path, key: str, value: Any, got: str
) -> None:
    halfbyte.convert(
        folder_of(tiny_llama, tmp_path / "hf"), tmp_path / "m.gguf", type="f32", measure=False
    )
    reader = gguf.GGUFReader(tmp_path / "m.gguf", "r+")
    field = reader.fields[f"lfm2.{key}"]
    for at, number in zip(field.data, np.atleast_1d(value), strict=True):
        field.parts[at][0] = number
    reader.data.flush()
    with pytest.raises(ModelFileError, match=got):
        halfbyte.load(tmp_path / "m.gguf")
