"""Folders that are no model in transformers' layout: what they are, and what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import halfbyte
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.errors import ConversionError

# Files beside config.json, or in place of it -> what the error says.
WITH_CONFIG = [
    (["model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"],
     ["2 of 3 shards without", "model-00002-of-00003.safetensors", "download"]),
    (["pytorch_model-00001-of-00002.bin"], ["pickled weights", "safe_serialization"]),
    (["tf_model.h5"], ["TensorFlow", "safetensors"]),
    (["flax_model.msgpack"], ["Flax", "safetensors"]),
    (["model.onnx"], ["ONNX", "safetensors"]),
    ([".cache/huggingface/download/a/x.incomplete"], ["not come to its end", "x.incomplete"]),
    (["model.safetensors.part"], ["not come to its end"]),
    (["README.md"], ["no such file among README.md", "transformers' layout"]),
]  # fmt: skip
WITHOUT_CONFIG = [
    (["consolidated.00.pth", "params.json"], ["Meta's", "-hf"]),
    (["consolidated.safetensors", "tokenizer.model.v3"], ["Meta's", "-hf"]),
    (["refs/main", "snapshots/5a8f/config.json"], ["a hub's cache", "5a8f"]),
    (["Model-Q4_0.GGUF", "model.safetensors"], ["Model-Q4_0.GGUF", "name the file"]),
    ([], ["an empty folder", "config.json"]),
]


def _fill(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\1\2")


@pytest.mark.parametrize(("names", "said"), WITH_CONFIG, ids=lambda one: one[0])
def test_without_weights(tiny_folder: Path, tmp_path: Path, names: list[str], said: list[str],
) -> None:  # fmt: skip
    shutil.copy(tiny_folder / "config.json", tmp_path)
    _fill(tmp_path, names)
    with pytest.raises(ConversionError) as caught:
        HFFolder(tmp_path)
    assert all(part in str(caught.value) for part in said)
    assert caught.value.field == "weights" and caught.value.hint


@pytest.mark.parametrize(("names", "said"), WITHOUT_CONFIG)
def test_without_a_configuration(tmp_path: Path, names: list[str], said: list[str]) -> None:
    _fill(tmp_path, names)
    with pytest.raises(ConversionError) as caught:
        halfbyte.convert(tmp_path, tmp_path.with_name("x.gguf"), measure=False)
    assert all(part in str(caught.value) for part in said)
    assert caught.value.field == "config.json" and caught.value.hint
