"""A model's shape under Hugging Face's names, against transformers' own configuration."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from halfbyte import AutoConfig, AutoModelForCausalLM, convert
from halfbyte.errors import HalfbyteError, RequestError
from halfbyte.hf.auto_model import CausalLM

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "data" / "golden_generation.json").read_text("utf-8")
)


def test_names_and_values_are_transformers(tiny: CausalLM) -> None:
    stated = {**GOLDEN["config"], "rope_theta": GOLDEN["config"]["rope_parameters"]["rope_theta"]}
    stated["sliding_window"] = None  # which only Mistral's and Qwen's configurations name
    path = Path(tiny.model.path)
    folder = AutoConfig.from_pretrained(path.parent / "hf", trust_remote_code=True)
    for config in (tiny.config, AutoConfig.from_pretrained(path), folder):
        for name, value in config.to_dict().items():
            if name == "rms_norm_eps":
                assert abs(value - stated[name]) < 1e-9  # a file has float32
            else:
                assert value == stated[name], name
        assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config
        with pytest.raises(AttributeError, match="num_hidden_layers") as caught:
            config.n_layers  # noqa: B018
        assert isinstance(caught.value, HalfbyteError)


def test_the_number_of_parameters(tiny: CausalLM, tiny_gguf: Path) -> None:
    assert tiny.num_parameters() == GOLDEN["num_parameters"]
    assert tiny.num_parameters(exclude_embeddings=True) == GOLDEN["without_embeddings"]
    assert tiny.num_parameters(only_trainable=True) == 0


def test_a_tied_embedding_counts_once(
    tmp_path: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    """And biases and norms of heads count."""
    tiny_llama = benchmark_module("tiny_llama")
    for kind in ("qwen2", "qwen3"):
        tiny = tiny_llama.Tiny(kind, 1, 64, 96, 2, 4, 2, 16, 323, 1e4, tied=True, kind=kind)
        tiny_llama.save(tiny, tmp_path / kind)
        convert(tmp_path / kind, tmp_path / f"{kind}.gguf", type="f32", measure=False)
        with AutoModelForCausalLM.from_pretrained(tmp_path / f"{kind}.gguf", threads=1) as model:
            expected = sum(w.size for w in tiny_llama.weights(tiny).values())
            assert model.num_parameters() == expected
            assert model.config.tie_word_embeddings and model.config.model_type == kind


def test_what_else_a_model_says_of_itself(tiny: CausalLM) -> None:
    if "torch" not in sys.modules:
        assert tiny.dtype == np.float32
    with pytest.raises(RequestError, match=r"f32\.gguf; tokenizers have save_pretrained"):
        tiny.save_pretrained("folder")
    assert not hasattr(tiny, "no_such_name")
    with pytest.raises(AttributeError, match="no training"):
        tiny.state_dict()
    assert tiny.name_or_path == tiny.model.path


def test_where_a_model_lies(tiny: CausalLM) -> None:
    folder = Path(tiny.model.path).parent
    config = AutoConfig.from_pretrained(folder.parent, subfolder=f"{folder.name}/hf")
    assert config == AutoConfig.from_pretrained(folder, subfolder="hf", cache_dir="x", token="y")
    assert AutoConfig.from_pretrained(folder, gguf_file="f32.gguf") == tiny.config
    for name, value in (("cache_dir", 5), ("cache_dir", ""), ("token", 5), ("token", "")):
        with pytest.raises(RequestError, match=name):
            AutoConfig.from_pretrained("infill-10m", **{name: value})
    with pytest.raises(RequestError, match="subfolder"):
        AutoConfig.from_pretrained("org/name", subfolder="x")
    with pytest.raises(RequestError, match="no_such"):
        AutoConfig.from_pretrained(folder, no_such=1)
    with pytest.raises(RequestError, match="from_pretrained"):
        AutoConfig()


def test_what_is_pulled_goes_where_it_is_told_and_is_asked_for_with_the_token(
    tiny: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub_server: Any
) -> None:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "usual"))
    files = {"tiny.gguf": Path(tiny.model.path).read_bytes()}
    hub_server.repositories["org/tiny"] = hub_server.Repository(files)

    def tokens() -> set[str]:
        """With which ones the model was asked for; the client asks for things of its own too."""
        asked = zip(hub_server.requests, hub_server.tokens, strict=True)
        found = {token for (_, path, _), token in asked if "org/tiny" in path}
        hub_server.requests.clear()
        hub_server.tokens.clear()
        return found

    there = tmp_path / "there"
    config = AutoConfig.from_pretrained("org/tiny", cache_dir=there, token="secret")
    assert config == tiny.config and tokens() == {"Bearer secret"}
    assert [path.suffix for path in there.glob("*.gguf")] == [".gguf"]
    assert not (tmp_path / "usual").exists()
    AutoConfig.from_pretrained("org/tiny", cache_dir=there, local_files_only=True)
    assert tokens() == set()
    AutoConfig.from_pretrained("org/tiny", token=False)
    assert tokens() == {""}
