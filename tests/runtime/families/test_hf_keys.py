"""Keys of config.json: what transformers or llama.cpp reads is known, what matters is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.families.config import ModelConfig
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.hf_keys import (
    COMMON,
    DETAILS,
    NEUTRAL,
    READ,
    READ_IN_ROPE,
    WITHOUT_EFFECT,
)
from halfbyte.families.registry import BY_MODEL_TYPE

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "golden_keys.json").read_text("utf-8"))[
    "config"
]


# Whose classes alone make no model.
STATED: dict[str, dict[str, Any]] = {
    "glm4_moe": {"head_dim": 128}, "lfm2_moe": {"layer_types": ["full_attention"] * 32},
    "granitemoehybrid": {"layer_types": ["mamba"] * 31 + ["attention"]},
}  # fmt: skip


def config(kind: str = "llama", **stated: Any) -> ModelConfig:
    own = STATED.get(kind, {})
    return config_from_hf(Path("model"), {"model_type": kind, **own, **stated})


def test_every_key_is_known_once() -> None:
    groups = [READ, WITHOUT_EFFECT, NEUTRAL.keys(), DETAILS, COMMON]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert set(GOLDEN["decoders"]) - set().union(*groups) == set()
    # Those of RoPE that no kind here takes belong to kinds that are refused.
    assert set(READ_IN_ROPE) <= set(GOLDEN["rope"])


def test_keys_of_models_of_other_things_are_never_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Images, sound, encoders: transformers takes no notice either."""
    names = [name for name in GOLDEN["others"] if name not in {*READ, *NEUTRAL}]
    assert len(names) > 1500
    plain = config()
    with caplog.at_level(logging.WARNING):
        assert config(**{name: [7] for name in names}) == plain
    assert f"and {len(names) - 8} more" in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_act", "gelu"),
        ("hidden_act", None),
        ("hidden_activation", "gelu_pytorch_tanh"),
        ("is_causal", False),
        ("is_causal", None),
        ("embedding_multiplier", 12.0),
        ("residual_multiplier", 0.22),
        ("logits_scaling", 8),
        ("logits_scaling", True),
        ("logits_scaling", float("nan")),
        ("attention_multiplier", 0.0078125),
        ("query_pre_attn_scalar", 256),
        ("query_pre_attn_scalar", "128"),
        ("rotary_dim", 64),
        ("rotary_pct", 0.25),
        ("final_logit_softcapping", 30.0),
        ("attn_logit_softcapping", 50.0),
        ("clip_qkv", 8.0),
        ("num_local_experts", 8),
        ("n_routed_experts", 64),
        ("kv_lora_rank", 512),
        ("num_nextn_predict_layers", 1),
        ("no_rope_layers", [1, 1, 1, 0]),
        ("mlp_layer_types", ["dense", "sparse"]),
        ("layer_types", ["full_attention", "sliding_attention"]),
        ("layer_types", "full_attention"),
        ("layer_types", [["full_attention"]]),
        ("sliding_window_pattern", 6),
        ("attention_chunk_size", 8192),
        ("use_qk_norm", True),
        ("alibi", True),
        ("parallel_attn", True),
        ("per_layer_config", {"0": {"num_key_value_heads": 1}}),
        ("text_config", {"hidden_size": 64}),
        ("vision_config", {"hidden_size": 64}),
        ("position_embedding_type", "nope"),
        ("attention_bias", 1),
        ("mlp_bias", "yes"),
        ("architectures", ["LlamaForSequenceClassification"]),
        ("architectures", ["LlavaForConditionalGeneration"]),
        ("architectures", "LlamaForCausalLM"),
        ("architectures", [5]),
        ("num_key_value_heads", 0),
    ],
)
def test_what_changes_a_result_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ConversionError) as caught:
        config(**{key: value})
    assert caught.value.field == key
    assert "config.json" in str(caught.value)


def test_neutral_values_pass(caplog: pytest.LogCaptureFixture) -> None:
    neutral = {
        "embedding_multiplier": 1.0, "residual_multiplier": 1, "logits_scaling": None,
        "attention_multiplier": 128**-0.5, "query_pre_attn_scalar": 128, "rotary_dim": 128,
        "num_local_experts": 0, "final_logit_softcapping": None, "no_rope_layers": [1] * 32,
        "layer_types": ["full_attention"] * 32, "attention_bias": False, "hidden_act": "silu",
        "per_layer_config": {}, "mlp_layer_types": ["dense"] * 32, "use_sliding_window": False,
        "pretraining_tp": 2, "dtype": "bfloat16", "attention_dropout": 0.1, "use_cache": False,
        "architectures": ["LlamaForCausalLM"], "quantization_config": None, "is_causal": True,
    }  # fmt: skip
    assert config(**neutral) == config()
    assert caplog.text == ""


# What repositories state beside the shape.
PUBLISHED: dict[str, dict[str, Any]] = {
    "CodeLlama-7b-hf": {
        "model_type": "llama", "_name_or_path": "output/", "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "initializer_range": 0.02,
        "max_position_embeddings": 16384, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": None, "rope_theta": 1000000, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "transformers_version": "4.33.0.dev0", "use_cache": True,
        "vocab_size": 32016,
    },
    "Llama-3.2-1B": {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "attention_bias": False,
        "attention_dropout": 0.0, "head_dim": 64, "hidden_size": 2048, "mlp_bias": False,
        "max_position_embeddings": 131072, "num_key_value_heads": 8, "tie_word_embeddings": True,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                         "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 500000.0,
    },
    "SmolLM2-135M": {
        "model_type": "llama", "is_llama_config": True, "rope_interleaved": False,
        "hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3,
        "pretraining_tp": 1, "rope_scaling": None, "rope_theta": 100000,
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
    },
    "deepseek-coder-1.3b": {
        "model_type": "llama", "hidden_size": 2048, "num_attention_heads": 16,
        "num_key_value_heads": 16, "rope_scaling": {"factor": 4.0, "type": "linear"},
        "rope_theta": 100000,
    },
    "Mistral-7B-v0.1": {
        "model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 4096,
        "max_position_embeddings": 32768, "num_key_value_heads": 8, "rope_theta": 10000.0,
    },
    "Qwen2.5-Coder-7B": {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "max_window_layers": 28,
        "hidden_size": 3584, "num_attention_heads": 28, "num_key_value_heads": 4,
        "rope_theta": 1000000.0, "sliding_window": 131072, "use_sliding_window": False,
        "use_mrope": False,
    },
    "Qwen3-0.6B, by transformers 5": {
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "attention_bias": False,
        "dtype": "bfloat16", "head_dim": 128, "hidden_size": 1024, "num_hidden_layers": 28,
        "layer_types": ["full_attention"] * 28, "max_window_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "pad_token_id": None,
        "rope_parameters": {"rope_theta": 1000000, "rope_type": "default"},
        "sliding_window": None, "use_sliding_window": False, "tie_word_embeddings": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_need_no_word(name: str, caplog: pytest.LogCaptureFixture) -> None:
    config_from_hf(Path("model"), PUBLISHED[name])
    assert caplog.text == ""


def test_what_nobody_reads_gets_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        stated = {"unsloth_version": "2025.1", "moe_intermediate_size": 768, "auto_map": {"a": "b"}}
        assert config(**stated) == config()
    assert "no part for: 'moe_intermediate_size', 'auto_map'" in caplog.text
    assert "not known here: 'unsloth_version'" in caplog.text


NETS = ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text")


@pytest.mark.parametrize("kind", BY_MODEL_TYPE)
def test_windows_by_kind_of_model(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    if kind == "ministral3":
        with pytest.raises(ConversionError, match="sliding_window"):
            config(kind, sliding_window=1000)
        return
    window = config(kind, sliding_window=1000).sliding_window
    gemma4 = ("gemma4_text", "gemma4_unified_text")
    # Of whose layers some have one.
    some = ("gemma2", "gemma3_text", *gemma4, "olmo3", "gpt_oss", "cohere2")
    if kind in some:
        with pytest.raises(ConversionError, match="sliding_window"):
            config(kind, sliding_window=None)
    has_window = kind in (
        *("mistral", "mixtral", "phi3", "starcoder2", "mellum", "laguna", "exaone4"), *some
    )  # fmt: skip
    assert window == (1000 if has_window else 0)
    states_one = kind.startswith(("qwen2", "qwen3")) and kind not in NETS  # and does not use it
    assert ("no window" in caplog.text) == (not has_window and not states_one)
    if kind == "mistral":
        assert config(kind, layer_types=["sliding_attention"] * 32).sliding_window == 4096
        with pytest.raises(ConversionError, match="32 layers"):
            config(kind, layer_types=["sliding_attention"] * 31)
        with pytest.raises(ConversionError, match="layer_types"):
            config(kind, layer_types=["full_attention"])
        with pytest.raises(ConversionError, match="sliding_window"):
            config(kind, sliding_window=0)


def test_exaone_rotates_where_its_windows_are_or_in_all_layers() -> None:
    stated: dict[str, Any] = {"num_hidden_layers": 5}
    large = config("exaone4", **stated)
    assert large.sliding_window == 4096 and large.sliding_layers == (True, True, True, False, True)
    assert large.rope_layers == large.sliding_layers
    stated["layer_types"] = ["full_attention"] * 5
    assert config("exaone4", **stated).rope_layers == (False,) * 5
    small = config("exaone4", sliding_window=None, sliding_window_pattern=None, **stated)
    assert (small.sliding_window, small.sliding_layers, small.rope_layers) == (0, (), ())
    with pytest.raises(ConversionError, match="sliding_window_pattern"):  # in transformers too
        config("exaone4", sliding_window_pattern="LLLG")


def test_gemma_3_says_which_layers_have_no_window() -> None:
    """Gemma 2 has them in turn, whatever it says."""
    stated: dict[str, Any] = {"num_hidden_layers": 4, "sliding_window_pattern": 3}
    assert config("gemma3_text", **stated).sliding_layers == (True, True, False, True)
    assert (
        config("gemma3_text", **stated | {"sliding_window_pattern": None}).sliding_layers
        == (True,) * 4
    )
    for kind, every in (("gemma3_text", 0), ("gemma3_text", "6"), ("gemma2", 6)):
        with pytest.raises(ConversionError, match="sliding_window_pattern"):
            config(kind, sliding_window_pattern=every)


@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_qwens_windows_of_the_last_layers(kind: str) -> None:
    used: dict[str, Any] = {"use_sliding_window": True, "num_hidden_layers": 4}
    # Without a window, or where none of the layers comes after max_window_layers (28 if absent).
    assert config(kind, **used).n_layers == 4
    assert config(kind, **used, max_window_layers=2, sliding_window=None).n_layers == 4
    assert config(kind, **used, max_window_layers=2, layer_types=["attention"] * 4).n_layers == 4
    for first in (3, 0, -1, True, "4", None):
        with pytest.raises(ConversionError, match="max_window_layers"):
            config(kind, **used, max_window_layers=first)
    with pytest.raises(ConversionError, match="use_sliding_window"):
        config(kind, use_sliding_window="yes")


@pytest.mark.parametrize("kind", ["qwen2_moe", "qwen3_moe"])
def test_layers_without_experts_may_be_none_in_two_ways(kind: str) -> None:
    for none in (None, []):
        assert config(kind, mlp_only_layers=none) == config(kind)
    assert config(kind, mlp_only_layers=[0]) != config(kind)
