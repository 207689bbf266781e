"""GGUF files that loading would refuse are refused before work begins, with all that is wrong."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sentencepiece import sentencepiece_model_pb2 as spm

import halfbyte
from halfbyte.conversion import convert as convert_function
from halfbyte.conversion import plan_conversion
from halfbyte.converting import gguf_keys
from halfbyte.converting.sources import source
from halfbyte.errors import ConversionError, HalfbyteError, ModelFileError
from halfbyte.tokenizer import Vocabulary

convert = functools.partial(convert_function, measure=False)
Data = np.ndarray
U16, U32 = gguf.GGUFValueType.UINT16, gguf.GGUFValueType.UINT32


@pytest.fixture(scope="module")
def rewritten(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes the small model with some keys and tensors changed; None leaves one out."""
    source = tmp_path_factory.mktemp("checks") / "f32.gguf"
    convert(tiny_folder, source, type="f32")

    def write(path: Path, tensors: dict[str, Data | None], keys: dict[str, Any]) -> Path:
        reader, writer = gguf.GGUFReader(source), gguf.GGUFWriter(path, "llama")
        for key, field in reader.fields.items():
            if key.startswith("GGUF.") or key == "general.architecture":
                continue
            value = keys.pop(key, field.contents())
            kind = field.types[0]
            element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            if value is not None:
                writer.add_key_value(key, value, kind, element)
        for key, value in keys.items():
            writer.add_key_value(key, value, U32)
        kept = {t.name: np.array(t.data) for t in reader.tensors}
        for name, data in (kept | tensors).items():
            if data is not None:
                writer.add_tensor(name, data)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


def _types(n: int) -> list[int]:
    """Of a vocabulary without byte tokens."""
    return [2, 3, 3, *[1] * (n - 3)]


ODD: list[tuple[dict[str, Data | None], dict[str, Any], list[str]]] = [
    ({"blk.1.ffn_up.weight": None}, {}, ["blk.1.ffn_up.weight"]),
    ({"blk.9.more": np.ones(3, np.float32)}, {}, ["blk.9.more"]),
    ({"output_norm.weight": np.ones(65, np.float32)}, {}, ["output_norm.weight (64,)"]),
    ({}, {"tokenizer.ggml.scores": None}, ["tokenizer.ggml.scores"]),
    ({}, {"tokenizer.ggml.token_type": _types(300)}, ["256 byte tokens"]),
    ({}, {"tokenizer.ggml.model": "rwkv"}, ["rwkv"]),
    ({}, {"llama.expert_count": 8}, ["llama.expert_used_count"]),
    ({"rope_freqs.weight": np.zeros(8, np.float32)}, {}, ["rope_freqs.weight", "above 0"]),
    (
        {"blk.0.attn_q.weight": None, "more": np.ones(3, np.float32),
         "blk.1.attn_norm.weight": np.ones(1, np.float32)},
        {"tokenizer.ggml.scores": None},
        ["blk.0.attn_q.weight", "more", "blk.1.attn_norm.weight", "tokenizer.ggml.scores"],
    ),
    ({}, {"llama.expert_count": 8, "tokenizer.ggml.scores": None}, ["expert", "scores"]),
    ({"output_norm.weight": np.ones(64)}, {"tokenizer.ggml.scores": None}, ["F64", "scores"]),
]  # fmt: skip


@pytest.mark.parametrize(("tensors", "keys", "said"), ODD)
def test_all_that_is_wrong_is_one_error_and_nothing_is_written(
    rewritten: Callable[..., Path], tmp_path: Path, tensors: dict[str, Data | None],
    keys: dict[str, Any], said: list[str],
) -> None:  # fmt: skip
    source = rewritten(tmp_path / "odd.gguf", tensors, dict(keys))
    with pytest.raises(HalfbyteError):  # so it has to be refused
        halfbyte.load(source, threads=1)
    for refused in (lambda: convert(source, tmp_path / "x.gguf"), lambda: plan_conversion(source)):
        with pytest.raises(ConversionError) as caught:
            refused()
        assert all(part in str(caught.value) for part in said)
    assert [path.name for path in tmp_path.iterdir()] == ["odd.gguf"]


@pytest.mark.parametrize("number", [0, 1])
def test_a_shard_of_a_split_file(
    rewritten: Callable[..., Path], tmp_path: Path, number: int
) -> None:
    keys = {"split.count": 2, "split.no": number, "split.tensors.count": 21}
    path = tmp_path / f"x-{number + 1:05}-of-00002.gguf"
    rewritten(path, {"output.weight": None}, keys)
    with pytest.raises(ModelFileError, match="split"):
        convert(path, tmp_path / "x.gguf")
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_what_was_split_and_joined_is_whole(rewritten: Callable[..., Path], tmp_path: Path) -> None:
    keys = {"split.count": 0, "split.no": 0, "split.tensors.count": 21}
    convert(rewritten(tmp_path / "joined.gguf", {}, keys), tmp_path / "x.gguf")
    assert not any(key.startswith("split.") for key in gguf.GGUFReader(tmp_path / "x.gguf").fields)


def test_vectors_of_other_types_are_read(tiny_gguf: Path, tmp_path: Path) -> None:
    """As loading reads them."""
    reader, writer = gguf.GGUFReader(tiny_gguf), gguf.GGUFWriter(tmp_path / "q.gguf", "llama")
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            kind = field.types[0]
            element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, element)
    q8_0 = gguf.GGMLQuantizationType.Q8_0
    wanted: dict[str, np.ndarray] = {}
    for tensor in reader.tensors:
        if tensor.name == "output_norm.weight":
            blocks = gguf.quants.quantize(np.array(tensor.data)[None], q8_0)
            wanted["output_norm.weight"] = gguf.quants.dequantize(blocks, q8_0)[0]
            writer.add_tensor(tensor.name, blocks[0], raw_dtype=q8_0)
        elif tensor.name == "blk.0.attn_norm.weight":
            wanted[tensor.name] = np.array(tensor.data).astype(np.float16).astype(np.float32)
            writer.add_tensor(tensor.name, np.array(tensor.data).astype(np.float16))
        else:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    convert(tmp_path / "q.gguf", tmp_path / "x.gguf", type="q8_0")
    found = {t.name: t.data for t in gguf.GGUFReader(tmp_path / "x.gguf").tensors}
    assert len(wanted) == 2
    assert all((found[name] == values).all() for name, values in wanted.items())


def test_what_gguf_cannot_say_is_refused_before_the_weights(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here: whatever is lost between the source's own checks and the head that is written."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "hf"))

    def add_vocabulary(meta: gguf.GGUFWriter, v: Vocabulary) -> None:
        gguf_keys.add_vocabulary(meta, replace(v, scores=[float("nan")] * len(v.scores)))

    monkeypatch.setattr(source, "add_vocabulary", add_vocabulary)

    def progress(*step: object) -> None:
        raise AssertionError("work has begun")

    with pytest.raises(ConversionError, match="finite") as caught:
        convert(folder, tmp_path / "x.gguf", progress=progress)
    assert caught.value.path == str(folder) and ".part" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_a_folder_whose_vocabulary_cannot_be_built(tiny_folder: Path, tmp_path: Path) -> None:
    """With what else is wrong with it."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "hf"))
    model = spm.ModelProto.FromString((folder / "tokenizer.model").read_bytes())
    model.pieces[10].type = 1  # which was a byte
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    for wrong in (["256 byte tokens"], ["256 byte tokens", "missing model.norm.weight"]):
        with pytest.raises(ConversionError) as caught:
            plan_conversion(folder)
        assert all(part in str(caught.value) for part in wrong)
        save_file(weights, folder / "model.safetensors")
