"""Checkpoints that wrap a model of text."""

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
from halfbyte.errors import ConversionError
from halfbyte.families.from_hf import config_from_hf


def names(path: Path, prefix: str, head: str) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint under longer names, and one of a part that sees."""
    tensors = load_file(path / "model.safetensors")
    longer = {name.replace("model.", prefix, 1): value for name, value in tensors.items()}
    longer[head] = longer.pop("lm_head.weight")
    seeing = prefix.removesuffix("language_model.").removesuffix("language_model.model.")
    return longer | {f"{seeing}vision_tower.patch_conv.weight": np.ones((4, 4), np.float32)}


@pytest.mark.parametrize(
    ("prefix", "head"),
    [
        ("language_model.model.", "language_model.lm_head.weight"),
        ("model.language_model.", "lm_head.weight"),
    ],
)
def test_the_model_of_text_is_converted_and_the_rest_named(
    prefix: str,
    head: str,
    tmp_path: Path,
    benchmark_module: Callable[[str], ModuleType],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tiny_llama = benchmark_module("tiny_llama")
    tiny = tiny_llama.Tiny("t", 1, 64, 96, 2, 4, 2, 16, 323, 1e6, tied=False, kind="ministral3")
    plain, wrapped = tmp_path / "plain", tmp_path / "wrapped"
    for path in (plain, wrapped):
        tiny_llama.save(tiny, path)
    inner = tiny_llama.config(tiny)
    outer: dict[str, Any] = {
        "architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3",
        "text_config": {k: v for k, v in inner.items() if k != "architectures"},
        "vision_config": {"model_type": "pixtral"}, "tie_word_embeddings": False,
    }  # fmt: skip
    (wrapped / "config.json").write_text(json.dumps(outer))
    save_file(names(plain, prefix, head), wrapped / "model.safetensors")
    for path in (plain, wrapped):
        halfbyte.convert(path, path.with_suffix(".gguf"), type="f32", measure=False, name="same")
    assert plain.with_suffix(".gguf").read_bytes() == wrapped.with_suffix(".gguf").read_bytes()
    assert "vision_config" in caplog.text and "vision_tower" in caplog.text


@pytest.mark.parametrize("stated", [{}, {"model_type": "exaone4_5_text"}])
def test_exaone_4_5_and_the_layers_that_guess_for_it(
    stated: dict[str, Any],
    tmp_path: Path,
    benchmark_module: Callable[[str], ModuleType],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Which neither transformers nor llama.cpp computes; the text was called otherwise at first."""
    tiny_llama = benchmark_module("tiny_llama")
    tiny = tiny_llama.Tiny("t", 1, 64, 96, 4, 4, 2, 16, 323, 1e6, tied=False, kind="exaone4")
    plain, wrapped = tmp_path / "plain", tmp_path / "wrapped"
    for path in (plain, wrapped):
        tiny_llama.save(tiny, path)
    inner = {k: v for k, v in tiny_llama.config(tiny).items()
             if k not in ("architectures", "model_type")}  # fmt: skip
    outer = {"model_type": "exaone4_5", "tie_word_embeddings": False,
             "text_config": inner | {"num_nextn_predict_layers": 1} | stated}  # fmt: skip
    (wrapped / "config.json").write_text(json.dumps(outer))
    tensors = names(plain, "model.language_model.", "lm_head.weight")
    save_file(tensors | {"mtp.fc.weight": np.ones((64, 128), np.float32)},
              wrapped / "model.safetensors")  # fmt: skip
    for path in (plain, wrapped):
        halfbyte.convert(path, path.with_suffix(".gguf"), type="f32", measure=False, name="same")
    assert plain.with_suffix(".gguf").read_bytes() == wrapped.with_suffix(".gguf").read_bytes()
    assert "further ahead: 1 tensors" in caplog.text and "vision_tower" in caplog.text


def test_a_text_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"text_config\.model_type.*qwen9"):
        config_from_hf(tmp_path, {"model_type": "x_vl", "text_config": {"model_type": "qwen9"}})
