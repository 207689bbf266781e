"""Mamba-2's hybrids as config.json states them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.families.config import ExpertsConfig, ModelConfig
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.mamba2_config import Mamba2

PATTERN = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
TYPES = ["attention" if i % 10 == 5 else "mamba" for i in range(40)]
GRANITE = dict(
    hidden_size=1536, intermediate_size=512, num_hidden_layers=40, num_attention_heads=12,
    num_key_value_heads=4, mamba_n_heads=48, mamba_d_head=64, mamba_d_state=128, mamba_n_groups=1,
    mamba_d_conv=4, mamba_expand=2, mamba_chunk_size=256, mamba_conv_bias=True,
    mamba_proj_bias=False, num_local_experts=64, num_experts_per_tok=6, layer_types=TYPES,
    shared_intermediate_size=1024, position_embedding_type="nope", embedding_multiplier=12,
    attention_multiplier=0.0078125, residual_multiplier=0.22, logits_scaling=6, vocab_size=100352,
    max_position_embeddings=131072,
)  # fmt: skip
NEMOTRON = dict(
    hidden_size=2688, intermediate_size=1856, num_hidden_layers=52, num_attention_heads=32,
    num_key_value_heads=2, head_dim=128, hybrid_override_pattern=PATTERN, mamba_num_heads=64,
    mamba_head_dim=64, ssm_state_size=128, n_groups=8, conv_kernel=4, expand=2, chunk_size=128,
    n_routed_experts=128, num_experts_per_tok=6, moe_intermediate_size=1856, n_group=1,
    moe_shared_expert_intermediate_size=3712, n_shared_experts=1, topk_group=1,
    routed_scaling_factor=2.5, norm_topk_prob=True, layer_norm_epsilon=1e-5, use_bias=False,
    use_conv_bias=True, mlp_hidden_act="relu2", mamba_hidden_act="silu", time_step_min=0.001,
    time_step_limit=[0.0, math.inf], max_position_embeddings=262144,
)  # fmt: skip


def _granite(**changes: Any) -> ModelConfig:
    return config_from_hf(Path("x"), {"model_type": "granitemoehybrid", **GRANITE, **changes})


def _nemotron(**changes: Any) -> ModelConfig:
    return config_from_hf(Path("x"), {"model_type": "nemotron_h", **NEMOTRON, **changes})


def test_published_models() -> None:
    """Granite 4's H-Tiny and Nemotron 3 Nano, by what their config.json states."""
    tiny = _granite()
    assert tiny.recurrent == Mamba2(48, 64, 128, 1, 4) and tiny.recurrent.conv_width == 3328
    assert [i for i in range(40) if not tiny.is_recurrent(i)] == [5, 15, 25, 35]
    assert tiny.experts == ExpertsConfig(64, 6, 512, 0, 1024, gating="softmax_of_used")
    assert tiny.architecture == "granitehybrid" and tiny.n_kv_layers == 4
    assert all(tiny.rope_of(i) is None for i in range(40))
    nano = _nemotron()
    assert nano.architecture == "nemotron_h_moe" and nano.recurrent == Mamba2(64, 64, 128, 8, 4)
    assert nano.recurrent is not None and nano.recurrent.state_nbytes == 4 * (
        64 * 64 * 128 + 3 * 6144
    )
    kinds = {"M": nano.is_recurrent, "*": nano.has_attention, "E": nano.has_experts}
    for kind, has in kinds.items():
        assert "".join(kind if has(i) else "." for i in range(52)) == PATTERN.translate(
            {ord(other): "." for other in kinds if other != kind}
        )
    assert nano.experts == ExpertsConfig(128, 6, 1856, 1, 3712, gating="sigmoid", scale=2.5)
    assert nano.norm_eps == 1e-5 and nano.rope_of(5) is None


def test_models_without_experts() -> None:
    micro = _granite(num_local_experts=0, num_experts_per_tok=0, shared_intermediate_size=8192)
    assert micro.experts is None and micro.hidden_dim == 8192
    nine = _nemotron(hybrid_override_pattern="M-" * 25 + "M*", intermediate_size=15680)
    assert nine.architecture == "nemotron_h" and nine.experts is None
    assert nine.hidden_dim == 15680 and nine.network_layers[:3] == (False, True, False)


def test_a_model_of_attention_alone_is_one_of_an_older_family() -> None:
    alone = {"layer_types": ["attention"] * 40, "position_embedding_type": "rope"}
    assert _granite(**alone).architecture == "granitemoe"
    dense = _granite(**alone, num_local_experts=0)
    assert (dense.architecture, dense.recurrent, dense.hidden_dim) == ("granite", None, 1024)


def test_words_of_transformers_5() -> None:
    words = {"attention": "full_attention", "mamba": "linear_attention", "M": "linear_attention",
             "*": "full_attention", "E": "moe"}  # fmt: skip
    new = _granite(layer_types=[words[one] for one in TYPES], mamba_d_head="auto",
                   time_step_limit=[0.0, {"__float__": "Infinity"}])  # fmt: skip
    assert new == _granite()
    listed = [words[one] for one in PATTERN]
    new = _nemotron(hybrid_override_pattern=None, layers_block_type=listed, num_hidden_layers=None)
    assert new == _nemotron()


def test_networks_beside_experts() -> None:
    """Which transformers computes and llama.cpp does not know."""
    mixed = _nemotron(hybrid_override_pattern="ME-*" * 13, intermediate_size=500)
    assert mixed.experts is not None and mixed.experts.dense_layers == tuple(range(2, 52, 4))
    assert (mixed.hidden_dim, mixed.has_experts(1), mixed.has_experts(2)) == (500, True, False)


def test_limits_of_steps_in_time() -> None:
    found = _granite(time_step_limit=[0.001, 0.1]).recurrent
    assert isinstance(found, Mamba2) and found.dt_limits == (0.001, 0.1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer_types", ["mamba"] * 39), ("layer_types", ["mamba"] * 40),
        ("layer_types", ["conv"] * 40), ("layer_types", "mamba"),
        ("position_embedding_type", "alibi"), ("mamba_n_heads", 0), ("mamba_n_groups", 5),
        ("mamba_d_head", 32), ("mamba_d_conv", 1), ("mamba_d_conv", 1000), ("mamba_expand", 0),
        ("mamba_d_state", 1 << 20), ("mamba_proj_bias", True), ("mamba_conv_bias", False),
        ("time_step_limit", [0.1]), ("time_step_limit", [0.2, 0.1]), ("num_local_experts", -1),
        ("time_step_limit", [0, "x"]),
    ],
)  # fmt: skip
def test_what_a_granite_cannot_be_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ConversionError, match=key):
        _granite(**{key: value})


def test_attention_alone_has_to_rotate() -> None:
    with pytest.raises(ConversionError, match='position_embedding_type: expected "rope"'):
        _granite(layer_types=["attention"] * 40)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hybrid_override_pattern", "M*"), ("hybrid_override_pattern", "M-" * 26),
        ("hybrid_override_pattern", "*-" * 26), ("hybrid_override_pattern", "X" * 52),
        ("hybrid_override_pattern", 7), ("layers_block_type", ["mamba"] * 52),
        ("moe_latent_size", 1024), ("n_groups", 7),
        ("use_bias", True), ("mlp_bias", True), ("mlp_hidden_act", "silu"),
        ("mamba_head_dim", 1 << 20), ("use_conv_bias", False),
    ],
)  # fmt: skip
def test_what_a_nemotron_cannot_be_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ConversionError, match=key):
        _nemotron(**{key: value})
