"""What config.json says, written as GGUF's metadata and read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from halfbyte.converting.gguf_keys import (
    add_config,
    say_what_llama_cpp_computes,
    say_what_others_miss,
)
from halfbyte.errors import ConversionError
from halfbyte.families.config import ModelConfig
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.registry import BY_MODEL_TYPE
from halfbyte.families.xielu import Xielu
from halfbyte.gguf.file import GGUFFile
from halfbyte.tokenizer.vocabulary import Vocabulary


def through_gguf(config: ModelConfig, path: Path) -> ModelConfig:
    writer = gguf.GGUFWriter(path, config.architecture)
    writer.add_name(config.name)
    add_config(writer, config)
    writer.add_token_list([b"a", b"b", b"c"])
    writer.add_tensor("output.weight", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUFFile.open(path) as file:
        return config_from_gguf(file)


def rounded(config: ModelConfig) -> ModelConfig:
    """As a file holds it: floats of 32 bits; what its tensors say, it does not."""
    theta, factor = (float(np.float32(x)) for x in (config.rope.theta, config.rope.factor))
    rope = replace(config.rope, theta=theta, factor=factor, divisors=None)
    if config.temperature:
        scale = float(np.float32(config.temperature.scale))
        config = replace(config, temperature=replace(config.temperature, scale=scale))
    if config.local_rope:
        local = replace(config.local_rope, theta=float(np.float32(config.local_rope.theta)))
        config = replace(config, local_rope=local)
    if config.experts:
        scale = float(np.float32(config.experts.scale))
        config = replace(config, experts=replace(config.experts, scale=scale))
    tensors = {name: False for name in ("tied", "qkv_bias", "out_bias", "mlp_bias", "head_norms")}
    return replace(config, rope=rope, norm_eps=float(np.float32(config.norm_eps)), **tensors)


POSITIVE = st.floats(1e-37, 1e38, allow_subnormal=False)
SIZES = st.integers(1, 2**20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.sampled_from(sorted(BY_MODEL_TYPE)),
    st.fixed_dictionaries(
        {},
        optional={
            "num_attention_heads": st.sampled_from([1, 8, 64, 128]),
            "num_key_value_heads": st.sampled_from([1, 2, 8, None]),
            "head_dim": st.sampled_from([16, 64, 128, None]),
            "hidden_size": st.sampled_from([128, 4096]) | SIZES,
            "intermediate_size": SIZES,
            "num_hidden_layers": st.integers(1, 1024),
            "max_position_embeddings": st.integers(1, 2**30),
            "sliding_window": st.none() | st.integers(1, 2**30),
            "rms_norm_eps": POSITIVE,
            "rope_theta": POSITIVE,
            "rope_scaling": st.fixed_dictionaries({"type": st.just("linear"), "factor": POSITIVE})
            | st.fixed_dictionaries(
                {"type": st.just("yarn"), "factor": st.sampled_from([2.0, 4.0, 40.0])},
                optional={
                    "original_max_position_embeddings": st.integers(1, 2**17),
                    "beta_fast": st.just(16.0),
                },
            ),
        },
    ),
)
def test_what_is_accepted_can_be_loaded(tmp_path: Path, kind: str, stated: dict[str, Any]) -> None:
    try:
        config = config_from_hf(tmp_path, {"model_type": kind, "vocab_size": 3, **stated})
    except ConversionError:
        assume(False)
        return
    if kind == "apertus":  # a checkpoint's tensors say it
        config = replace(config, xielu=(Xielu(0.5, -0.25, 0.5, -1.0),) * config.n_layers)
    assert through_gguf(config, tmp_path / "a.gguf") == rounded(config)


def test_what_yarn_does_to_scores_of_compressed_keys(tmp_path: Path) -> None:
    """DeepSeek-V2-Lite's: llama.cpp wants a tenth of its mscale_all_dim."""
    yarn = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096,
            "mscale": 0.707, "mscale_all_dim": 0.707}  # fmt: skip
    stated = {"model_type": "deepseek_v2", "vocab_size": 3, "rope_scaling": yarn}
    config = config_from_hf(tmp_path, {**stated, "max_position_embeddings": 163840})
    again = through_gguf(config, tmp_path / "a.gguf")
    with GGUFFile.open(tmp_path / "a.gguf") as file:
        key = "deepseek2.rope.scaling.yarn_log_multiplier"
        assert file.metadata.get_float(key) == pytest.approx(0.0707)
    assert again.attention_scale == pytest.approx(config.attention_scale, rel=1e-7)
    assert again.rope == config.rope


def test_which_layers_are_recurrent(tmp_path: Path) -> None:
    kinds = ["conv", "full_attention", "conv"]
    stated = {"model_type": "lfm2", "vocab_size": 3, "num_hidden_layers": 3, "conv_L_cache": 4}
    config = config_from_hf(tmp_path, {**stated, "layer_types": kinds})
    assert config.recurrent_layers == (True, False, True)
    assert through_gguf(config, tmp_path / "a.gguf") == rounded(config)


@pytest.mark.parametrize(("kind", "window"), [("mistral", 4096), ("llama", 0)])
def test_mistrals_window_is_in_a_key_of_our_own(tmp_path: Path, kind: str, window: int) -> None:
    """llama.cpp takes no notice of the key that GGUF has for it in these architectures."""
    stated = {"model_type": kind, "vocab_size": 3, "sliding_window": 4096}
    config = config_from_hf(tmp_path, stated)
    assert through_gguf(config, tmp_path / "a.gguf").sliding_window == window
    with GGUFFile.open(tmp_path / "a.gguf") as file:
        keys = [key for key in file.metadata if "window" in key]
    assert keys == (["halfbyte.sliding_window"] if window else [])


@pytest.mark.parametrize(
    ("stated", "word"),
    [
        ({"model_type": "qwen3_moe", "norm_topk_prob": False}, "divides the experts' scores"),
        ({"model_type": "qwen3_moe", "norm_topk_prob": True}, ""),
        ({"model_type": "qwen2_moe", "norm_topk_prob": True}, "does not divide"),
        ({"model_type": "glm4_moe", "head_dim": 128, "norm_topk_prob": False}, ""),
        ({"model_type": "mistral", "sliding_window": 4096}, "no window of 4096"),
        ({"model_type": "gemma2"}, ""),
        ({"model_type": "olmo3"}, ""),
        ({"model_type": "olmo3", "rope_parameters": {
            "full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}},
         "as the others do"),
        ({"model_type": "mellum", "rope_parameters": {
            "full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}},
         "as the others do"),
        ({"model_type": "exaone4", "num_hidden_layers": 64}, ""),
        ({"model_type": "exaone4"}, "no window of 4096"),
        ({"model_type": "exaone4", "sliding_window": None}, ""),
        ({"model_type": "exaone4", "sliding_window": None, "num_hidden_layers": 64},
         "some layers have a window"),
        ({"model_type": "laguna", "rope_parameters": {
            "full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}}, ""),
    ],
)  # fmt: skip
def test_a_word_on_what_llama_cpp_computes_otherwise(
    stated: dict[str, Any], word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It has no word of its own on these."""
    say_what_llama_cpp_computes(Path("m"), config_from_hf(Path("m"), stated))
    assert (word in caplog.text) if word else (caplog.text == "")


def test_a_word_on_what_others_miss_but_not_on_all_qwens(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "halfbyte")
    nfc = Vocabulary("p", "gpt2", [b"a"], [1], [], normalizer='{"type": "NFC"}')
    for vocabulary in (nfc, replace(nfc, flags={"lstrip": (0,)}), replace(nfc, normalizer="{}")):
        say_what_others_miss(vocabulary)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING"]
