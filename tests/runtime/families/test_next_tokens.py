"""How many layers of a file guess further ahead, and those that are left out with a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import halfbyte
from halfbyte.errors import ModelFileError, UnsupportedModelError
from tests.runtime.engine.test_weights import rewrite
from tests.runtime.families.test_from_gguf import keys_of, read

ONE = np.ones((4, 4), np.float32)


def test_those_that_have_no_names_are_left_out_with_a_word(
    tmp_path: Path,
    benchmark_module: Callable[[str], ModuleType],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tiny_llama, name = benchmark_module("tiny_llama"), "model.mtp_block.0.a.weight"
    tiny = tiny_llama.Tiny("t", 1, 64, 96, 2, 4, 2, 16, 323, 1e6, tied=False, kind="ernie4_5_moe")
    folder, plain, other = tmp_path / "hf", tmp_path / "plain.gguf", tmp_path / "other.gguf"
    tiny_llama.save(tiny, folder)
    halfbyte.convert(folder, plain, type="f32", measure=False)
    assert "further ahead" not in caplog.text
    weights = load_file(folder / "model.safetensors") | {name: ONE}
    save_file(weights, folder / "model.safetensors")
    halfbyte.convert(folder, other, type="f32", measure=False)
    assert "further ahead: 1 tensors" in caplog.text and name in caplog.text
    assert other.read_bytes() == plain.read_bytes()


def test_layers_that_a_count_leaves_out_are_no_such_layers(
    tmp_path: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    """A model's own last layer joins no token to a state."""
    tiny_llama = benchmark_module("tiny_llama")
    tiny = tiny_llama.Tiny("t", 1, 64, 96, 3, 4, 2, 16, 323, 1e6, tied=False, kind="glm4_moe")
    folder, path = tmp_path / "hf", tmp_path / "whole.gguf"
    tiny_llama.save(tiny, folder)
    halfbyte.convert(folder, path, type="f32", measure=False)
    for counts in ({"block_count": 2}, {"nextn_predict_layers": 1}):
        short = tmp_path / "short.gguf"
        rewrite(path, short, lambda _: None, "glm4moe",
                {f"glm4moe.{key}": n for key, n in counts.items()})  # fmt: skip
        with pytest.raises(UnsupportedModelError, match=r"tensors: .*blk\.2\."):
            halfbyte.load(short)


def test_layers_of_which_none_would_be_left(tmp_path: Path) -> None:
    experts = {"expert_count": 4, "expert_used_count": 2, "expert_shared_count": 1}
    for n, n_layers in ((0, 3), (2, 1)):
        keys = keys_of("glm4moe", nextn_predict_layers=n, **experts)
        assert read(tmp_path, keys, "glm4moe").n_layers == n_layers
    with pytest.raises(ModelFileError, match="nextn_predict_layers"):
        read(tmp_path, keys_of("glm4moe", nextn_predict_layers=3, **experts), "glm4moe")
    with pytest.raises(UnsupportedModelError, match="nextn_predict_layers"):
        read(tmp_path, keys_of("llama", nextn_predict_layers=1))
