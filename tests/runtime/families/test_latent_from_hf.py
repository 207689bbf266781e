"""Compressed keys and values as config.json states them, and how experts are chosen there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.families.config import ExpertsConfig, ModelConfig
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.latent_config import LatentConfig

YARN = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32,
        "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707}  # fmt: skip


def _read(kind: str, **stated: Any) -> ModelConfig:
    return config_from_hf(Path("x"), {"model_type": kind, **stated})


def test_published_models() -> None:
    """DeepSeek-Coder-V2-Lite and GLM-4.7-Flash, by what their config.json states."""
    lite = _read(
        "deepseek_v2", hidden_size=2048, intermediate_size=10944, num_hidden_layers=27,
        num_attention_heads=16, num_key_value_heads=16, q_lora_rank=None, kv_lora_rank=512,
        qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128, n_routed_experts=64,
        n_shared_experts=2, num_experts_per_tok=6, moe_intermediate_size=1408, n_group=1,
        topk_group=1, first_k_dense_replace=1, moe_layer_freq=1, norm_topk_prob=False,
        scoring_func="softmax", topk_method="greedy", routed_scaling_factor=1.0, seq_aux=True,
        aux_loss_alpha=0.001, max_position_embeddings=163840, rope_scaling=YARN, vocab_size=102400,
    )  # fmt: skip
    assert lite.latent == LatentConfig(0, 512, 128, 64, 128, 0.707)
    assert lite.experts == ExpertsConfig(
        64, 6, 1408, 2, 2816, 1, "softmax", normalizes=False, n_group_best=1
    )
    assert lite.attention_scale == (0.0707 * math.log(40) + 1) ** 2 / math.sqrt(192)
    assert (lite.rope.attention_factor, lite.rope.n_features, lite.rope.factor) == (1, 64, 40)
    glm = _read(
        "glm4_moe_lite", num_key_value_heads=20, num_nextn_predict_layers=1, rope_scaling=None,
        partial_rotary_factor=1.0, rope_theta=1000000, topk_method="noaux_tc", n_group=1,
    )  # fmt: skip
    assert glm.latent == LatentConfig(768, 512, 192, 64, 256)
    assert glm.experts == ExpertsConfig(64, 4, 1536, 1, 1536, 1, "sigmoid", scale=1.8)
    assert (glm.n_layers, glm.head_dim, glm.attention_scale) == (47, 576, 1 / 16)
    assert _read("youtu").experts is None


def test_how_experts_are_chosen() -> None:
    v3 = _read("deepseek_v3").experts
    assert v3 == ExpertsConfig(256, 8, 2048, 1, 2048, 3, "sigmoid", True, 2.5, 8, 4)
    groups = {"n_group": 8, "topk_group": 3, "n_routed_experts": 160}
    assert _groups(_read("deepseek_v2", **groups)) == (1, 1, 1)
    by_groups = _read("deepseek_v2", **groups, topk_method="group_limited_greedy")
    assert _groups(by_groups) == (8, 3, 1)
    layers = ["dense"] * 2 + ["sparse"] * 45
    found = _read("glm4_moe_lite", mlp_layer_types=layers).experts
    assert found is not None and found.n_dense_layers == 2


def _groups(config: ModelConfig) -> tuple[int, int, int]:
    e = config.experts
    assert e is not None
    return e.n_groups, e.n_groups_used, e.n_group_best


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("deepseek_v2", "topk_method", "noaux_tc"), ("deepseek_v2", "scoring_func", "sigmoid"),
        ("deepseek_v2", "norm_topk_prob", True), ("deepseek_v3", "scoring_func", "softmax"),
        ("deepseek_v3", "topk_method", "greedy"), ("deepseek_v3", "rope_interleave", False),
        ("deepseek_v3", "num_key_value_heads", 8), ("deepseek_v3", "head_dim", 128),
        ("deepseek_v3", "qk_head_dim", 128), ("deepseek_v3", "qk_rope_head_dim", 63),
        ("deepseek_v3", "kv_lora_rank", 8), ("deepseek_v3", "q_lora_rank", 0),
        ("deepseek_v3", "attention_bias", True), ("deepseek_v3", "moe_layer_freq", 2),
        ("glm4_moe_lite", "mlp_layer_types", ["sparse"] + ["dense"] * 46),
        ("glm4_moe_lite", "mlp_layer_types", ["dense", "sparse"]),
        ("deepseek_v2", "query_pre_attn_scalar", 64),
    ],
)  # fmt: skip
def test_what_is_not_computed_is_refused_by_name(kind: str, key: str, value: object) -> None:
    with pytest.raises(ConversionError, match=key):
        _read(kind, **{key: value})


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("mscale", {"mscale": 1.0}), ("mscale", {"attention_factor": 1.5}),
        ("rope_type", {"type": "linear", "factor": 2.0}),
    ],
)  # fmt: skip
def test_what_no_file_can_say_of_positions_is_refused(key: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ConversionError, match=key):
        _read("deepseek_v2", rope_scaling={**YARN, **changes}, max_position_embeddings=163840)
