"""Short convolutions as config.json states them: LFM2's kinds of layers, its network's width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.families.config import ExpertsConfig, ModelConfig
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.short_conv_config import ShortConv

FULL, CONV = "full_attention", "conv"


def _read(kind: str = "lfm2", **stated: Any) -> ModelConfig:
    return config_from_hf(Path("x"), {"model_type": kind, **stated})


def test_published_models(caplog: pytest.LogCaptureFixture) -> None:
    """LFM2-1.2B and LFM2-8B-A1B, by what their config.json states."""
    small = _read(
        block_auto_adjust_ff_dim=True, block_dim=2048, block_ff_dim=12288,
        block_ffn_dim_multiplier=1.0, block_mlp_init_scale=1.0, block_multiple_of=256,
        block_norm_eps=1e-5, block_out_init_scale=1.0, block_use_swiglu=True,
        block_use_xavier_init=True, conv_L_cache=3, conv_bias=False, conv_dim=2048,
        conv_dim_out=2048, conv_use_xavier_init=True, full_attn_idxs=[2, 5, 8, 10, 12, 14],
        hidden_size=2048, max_position_embeddings=128000, norm_eps=1e-5, num_attention_heads=32,
        num_heads=32, num_hidden_layers=16, num_key_value_heads=8, rope_theta=1e6,
        use_pos_enc=True, vocab_size=65536, eos_token_id=7, use_cache=True,
    )  # fmt: skip
    assert small.recurrent == ShortConv(2048, 3) and small.hidden_dim == 8192
    assert [i for i in range(16) if small.has_attention(i)] == [2, 5, 8, 10, 12, 14]
    assert (small.head_dim, small.rope.theta, small.norm_eps, small.tied) == (64, 1e6, 1e-5, True)
    layers = [FULL if i in (2, 6, 10, 14, 18, 21) else CONV for i in range(24)]
    large = _read(
        "lfm2_moe", conv_L_cache=3, conv_bias=False, hidden_size=2048, intermediate_size=7168,
        layer_types=layers, max_position_embeddings=128000, moe_intermediate_size=1792,
        norm_eps=1e-5, norm_topk_prob=True, num_attention_heads=32, num_dense_layers=2,
        num_experts=32, num_experts_per_tok=4, num_hidden_layers=24, num_key_value_heads=8,
        rope_theta=1e6, routed_scaling_factor=1.0, use_expert_bias=True, vocab_size=65536,
    )  # fmt: skip
    assert large.experts == ExpertsConfig(
        32, 4, 1792, n_dense_layers=2, gating="sigmoid", normalizes=True
    )
    assert (large.hidden_dim, large.n_kv_layers) == (7168, 6)
    assert not caplog.records


def test_the_networks_width_is_adjusted_as_transformers_does_it() -> None:
    of = lambda **stated: _read(layer_types=[CONV, FULL], num_hidden_layers=2, **stated).hidden_dim  # noqa: E731
    assert of(intermediate_size=1000) == 768  # 666, and up to a multiple of 256
    assert of(intermediate_size=1000, block_ffn_dim_multiplier=1.3) == 1024
    assert of(intermediate_size=1000, block_ffn_dim_multiplier=None) == 666
    assert of(intermediate_size=1000, block_auto_adjust_ff_dim=False) == 1000
    assert of(intermediate_size=1000, block_ff_dim=96, block_multiple_of=10) == 70


def test_a_layers_kind_is_what_layer_types_say_first() -> None:
    stated = {"num_hidden_layers": 3, "full_attn_idxs": [0]}
    assert _read(**stated).recurrent_layers == (False, True, True)
    assert _read(**stated, layer_types=[CONV, FULL, CONV]).recurrent_layers == (True, False, True)
    assert _read(num_hidden_layers=3).recurrent_layers == (False,) * 3
    assert _read(num_hidden_layers=3, tie_embedding=False).tied is False


@pytest.mark.parametrize(
    ("stated", "key"),
    [
        ({"layer_types": [CONV, "linear_attention"]}, "layer_types"),
        ({"layer_types": [CONV]}, "layer_types"),
        ({"layer_types": CONV}, "layer_types"),
        ({"layer_types": [CONV, CONV]}, "layer_types"),
        ({"layer_types": [CONV, [FULL]]}, "layer_types"),
        ({"layer_types": [{}, FULL]}, "layer_types"),
        ({"full_attn_idxs": [2]}, "full_attn_idxs"),
        ({"full_attn_idxs": [True]}, "full_attn_idxs"),
        ({"full_attn_idxs": []}, "layer_types"),
        ({"full_attn_idxs": [0], "conv_L_cache": 1}, "conv_L_cache"),
        ({"full_attn_idxs": [0], "conv_L_cache": 10**9}, "conv_L_cache"),
        ({"full_attn_idxs": [0], "conv_bias": 1}, "conv_bias"),
        ({"full_attn_idxs": [0], "conv_dim": 64}, "conv_dim"),
        ({"full_attn_idxs": [0], "num_heads": 3}, "num_heads"),
        ({"full_attn_idxs": [0], "block_multiple_of": 0}, "block_multiple_of"),
        ({"full_attn_idxs": [0], "block_ffn_dim_multiplier": -1}, "block_ffn_dim_multiplier"),
        ({"full_attn_idxs": [0], "use_pos_enc": False}, "use_pos_enc"),
    ],
)  # fmt: skip
def test_what_is_refused_by_name(stated: dict[str, Any], key: str) -> None:
    with pytest.raises(ConversionError, match=key):
        _read(num_hidden_layers=2, **stated)


def test_layers_of_experts_need_their_kinds() -> None:
    with pytest.raises(ConversionError, match="layer_types"):
        _read("lfm2_moe", num_hidden_layers=2)
    with pytest.raises(ConversionError, match="use_expert_bias"):
        _read("lfm2_moe", num_hidden_layers=2, layer_types=[CONV, FULL], use_expert_bias=False)
