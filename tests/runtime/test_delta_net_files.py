"""Files and checkpoints of models with gated delta nets, the whole way: as others make them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import halfbyte
from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.gguf.file import GGUFFile
from tests.gguf_copies import Floats, rewritten

IDS = list(range(3, 60))


@pytest.fixture(scope="module")
def tiny_llama(benchmark_module: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_module("tiny_llama")


def _converted(tiny_llama: ModuleType, folder: Path, kind: str, n_layers: int) -> Path:
    tiny = tiny_llama.Tiny("t", 3, 64, 96, n_layers, 4, 2, 32, 323, 1e6, tied=False, kind=kind)
    tiny_llama.save(tiny, folder)
    path = folder.with_suffix(".gguf")
    halfbyte.convert(folder, path, type="f32", measure=False, name="same")
    return path


@pytest.fixture(scope="module")
def next_file(tmp_path_factory: pytest.TempPathFactory, tiny_llama: ModuleType) -> Path:
    return _converted(tiny_llama, tmp_path_factory.mktemp("next") / "hf", "qwen3_next", 2)


@pytest.fixture(scope="module")
def dense_file(tmp_path_factory: pytest.TempPathFactory, tiny_llama: ModuleType) -> Path:
    return _converted(tiny_llama, tmp_path_factory.mktemp("dense") / "hf", "qwen3_5_text", 3)


def test_a_file_with_all_rows_of_a_key_head_in_turn_is_the_same_model(
    next_file: Path, tmp_path: Path
) -> None:
    """As the first files of Qwen3-Next have them."""

    def fuse(tensors: Floats) -> None:
        qkv, z = (tensors.pop(f"blk.0.attn_{name}.weight") for name in ("qkv", "gate"))
        q, k, v = (x.reshape(2, -1, 64) for x in np.split(qkv, [32, 64]))  # two key heads
        both = np.concatenate([q, k, v, z.reshape(2, -1, 64)], axis=1)
        tensors["blk.0.ssm_in.weight"] = both.reshape(-1, 64)

    older = rewritten(next_file, tmp_path / "older.gguf", fuse)
    with halfbyte.load(next_file, threads=1) as a, halfbyte.load(older, threads=1) as b:
        assert b.config.recurrent.is_fused
        assert (a.logits(IDS) == b.logits(IDS)).all()
    again = tmp_path / "again.gguf"
    halfbyte.convert(older, again, type="f32", measure=True, calibrate=False)
    with halfbyte.load(again, threads=1) as c, halfbyte.load(next_file, threads=1) as a:
        assert (a.logits(IDS) == c.logits(IDS)).all()


def test_what_sees_is_left_out_by_name(
    dense_file: Path, tiny_llama: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain, wrapped = dense_file.with_suffix(""), tmp_path / "wrapped"
    wrapped.mkdir()
    tiny_llama.save_tokenizer(323, wrapped)
    inner = json.loads((plain / "config.json").read_text())
    inner = {k: v for k, v in inner.items() if k not in ("architectures", "tie_word_embeddings")}
    outer: dict[str, Any] = {
        "architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5",
        "text_config": inner, "tie_word_embeddings": False,
        "vision_config": {"model_type": "qwen3_5"}, "image_token_id": 9, "video_token_id": 10,
        "vision_start_token_id": 11, "vision_end_token_id": 12,
    }  # fmt: skip
    (wrapped / "config.json").write_text(json.dumps(outer))
    tensors = load_file(plain / "model.safetensors")
    tensors = {n.replace("model.", "model.language_model.", 1): x for n, x in tensors.items()}
    tensors["model.visual.patch_embed.proj.weight"] = np.ones((4, 4), np.float32)
    save_file(tensors, wrapped / "model.safetensors")
    halfbyte.convert(wrapped, tmp_path / "w.gguf", type="f32", measure=False, name="same")
    assert (tmp_path / "w.gguf").read_bytes() == dense_file.read_bytes()
    assert "vision_config" in caplog.text and "model.visual" in caplog.text


@pytest.mark.parametrize("kind", ["q1_0", "q2_0", "q4_k_m"])
def test_few_bits_run_beside_floats_that_are_kept(
    kind: str, tmp_path: Path, tiny_llama: ModuleType
) -> None:
    """What is no matrix keeps its numbers, and rates and decays are quantized as others are."""
    tiny = tiny_llama.Tiny("t", 3, 256, 256, 2, 4, 2, 64, 323, 1e6, tied=False, kind="qwen3_5_text")
    tiny_llama.save(tiny, tmp_path / "hf")
    halfbyte.convert(tmp_path / "hf", tmp_path / "m.gguf", type=kind, measure=False)
    with GGUFFile.open(tmp_path / "m.gguf") as file:
        types = {name: tensor.type_name for name, tensor in file.tensors.items()}
    for name in ("ssm_conv1d.weight", "ssm_a", "ssm_dt.bias", "ssm_norm.weight"):
        assert types[f"blk.0.{name}"] == "F32"
    assert types["blk.0.ssm_alpha.weight"] == kind.upper().removesuffix("_M")
    with halfbyte.load(tmp_path / "m.gguf", threads=2) as model:
        whole = model.logits(IDS)
        assert np.isfinite(whole).all()
        assert (model.logits(IDS[:9]) == whole[:9]).all()


def test_what_contradicts_itself_is_one_error(
    dense_file: Path, next_file: Path, tmp_path: Path
) -> None:
    def none(tensors: Floats) -> None:
        """As they are."""

    def longer(tensors: Floats) -> None:
        tensors["blk.0.ssm_conv1d.weight"] = np.ones((160, 5), np.float32)

    values = {"attention.recurrent_layers": [False, True, True]}
    swapped = rewritten(dense_file, tmp_path / "a.gguf", none, values)
    with pytest.raises(ModelFileError, match=r"blk\.0\.attn_q\.weight"):
        halfbyte.load(swapped)
    wide = rewritten(dense_file, tmp_path / "b.gguf", longer)
    with pytest.raises(ModelFileError, match=r"blk\.0\.ssm_conv1d\.weight \(160, 4\), not"):
        halfbyte.load(wide)
    folder = next_file.with_suffix("")
    stated = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stated | {"full_attention_interval": 1}))
    with pytest.raises(ConversionError, match=r"missing model\.layers\.0\.self_attn\.q_proj"):
        halfbyte.convert(folder, tmp_path / "c.gguf", type="f32", measure=False)
