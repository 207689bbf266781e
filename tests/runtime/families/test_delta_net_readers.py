"""Gated delta nets as config.json and GGUF files state them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.families.config import ExpertsConfig, ModelConfig
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.from_hf import config_from_hf
from tests.runtime.families.test_from_gguf import read

ROPE = {"rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25,
        "mrope_section": [11, 11, 10], "mrope_interleaved": True}  # fmt: skip


def _read(kind: str, **stated: Any) -> ModelConfig:
    return config_from_hf(Path("x"), {"model_type": kind, **stated})


def test_published_models() -> None:
    """Qwen3-Coder-Next, Qwen3.5-35B-A3B and 27B, by what their config.json states."""
    coder = _read("qwen3_next", full_attention_interval=4, decoder_sparse_step=1,
                  mlp_only_layers=[], norm_topk_prob=True, rope_theta=5e6, rope_scaling=None,
                  max_position_embeddings=262144, partial_rotary_factor=0.25)  # fmt: skip
    assert coder.recurrent == DeltaNet(16, 32, 128, 128, 4)
    assert coder.recurrent_layers == (True, True, True, False) * 12
    assert coder.experts == ExpertsConfig(512, 10, 512, shared_dim=512)
    assert (coder.rope.n_features, coder.rope.sections, coder.n_kv_layers) == (64, (), 12)
    types = (["linear_attention"] * 3 + ["full_attention"]) * 10
    moe = _read("qwen3_5_moe", text_config={
        "model_type": "qwen3_5_moe_text", "layer_types": types, "rope_parameters": ROPE,
        "attn_output_gate": True, "mtp_num_hidden_layers": 1, "attention_bias": False,
    }, vision_config={}, tie_word_embeddings=False)  # fmt: skip
    assert moe.recurrent == DeltaNet(16, 32, 128, 128, 4, is_tiled=True)
    assert moe.experts == ExpertsConfig(256, 8, 512, shared_dim=512)
    assert (moe.architecture, moe.n_layers, moe.rope.sections) == (
        "qwen35moe", 40, (11, 11, 10, 0)
    )  # fmt: skip
    dense = _read("qwen3_5_text", linear_num_value_heads=48, num_hidden_layers=64)
    assert dense.recurrent == DeltaNet(16, 48, 128, 128, 4, is_tiled=True)
    assert dense.experts is None and dense.has_attention(63)


@pytest.mark.parametrize(
    ("stated", "key"),
    [
        ({"linear_num_value_heads": 24}, "linear_num_value_heads"),
        ({"linear_key_head_dim": 24}, "linear_key_head_dim"),
        ({"linear_value_head_dim": 1000}, "linear_value_head_dim"),
        ({"linear_conv_kernel_dim": 1}, "linear_conv_kernel_dim"),
        ({"linear_num_key_heads": 0}, "linear_num_key_heads"),
        ({"linear_num_value_heads": 1 << 10, "linear_key_head_dim": 1 << 8,
          "linear_value_head_dim": 1 << 8}, "at most 134217728 bytes a layer"),
        ({"layer_types": ["linear_attention"] * 3}, "one for each of 4 layers"),
        ({"layer_types": ["sliding_attention"] * 4}, "layer_types"),
        ({"full_attention_interval": 0}, "full_attention_interval"),
        ({"attn_output_gate": False}, "attn_output_gate"),
        ({"rope_parameters": {**ROPE, "mrope_section": [11, 11]}}, "mrope_section"),
    ],
)  # fmt: skip
def test_what_config_json_cannot_mean(stated: dict[str, Any], key: str) -> None:
    with pytest.raises(ConversionError, match=key):
        _read("qwen3_5_text", num_hidden_layers=4, **stated)


GOOD = {
    "qwen35.context_length": 262144, "qwen35.embedding_length": 96, "qwen35.block_count": 4,
    "qwen35.feed_forward_length": 200, "qwen35.attention.head_count": 4,
    "qwen35.attention.head_count_kv": 2, "qwen35.attention.key_length": 32,
    "qwen35.attention.value_length": 32, "qwen35.attention.layer_norm_rms_epsilon": 1e-6,
    "qwen35.rope.freq_base": 1e7, "qwen35.rope.dimension_count": 8, "qwen35.ssm.conv_kernel": 4,
    "qwen35.ssm.state_size": 32, "qwen35.ssm.group_count": 2, "qwen35.ssm.time_step_rank": 6,
    "qwen35.ssm.inner_size": 192,
}  # fmt: skip


def _file(tmp_path: Path, **changes: object) -> ModelConfig:
    return read(tmp_path, GOOD | {f"qwen35.{k}": v for k, v in changes.items()}, "qwen35")


def test_layers_of_a_file(tmp_path: Path) -> None:
    config = _file(tmp_path, **{"rope.dimension_sections": [2, 1, 1, 0]})
    assert config.recurrent == DeltaNet(2, 6, 32, 32, 4, is_tiled=True)
    assert config.recurrent_layers == (True, True, True, False)
    assert config.rope.sections == (2, 1, 1, 0)
    other = [True, False, False, True]
    assert _file(tmp_path, full_attention_interval=2).recurrent_layers == (True, False) * 2
    listed = _file(tmp_path, **{"attention.recurrent_layers": other})
    assert listed.recurrent_layers == tuple(other) and listed.kv_slot(3) == 2
    zeros = {"attention.head_count_kv": [0, 0, 0, 2], "feed_forward_length": [200] * 4}
    assert _file(tmp_path, **zeros) == _file(tmp_path)
    ahead = {"attention.recurrent_layers": [*other, False], "block_count": 5,
             "feed_forward_length": [200] * 5, "nextn_predict_layers": 1}  # fmt: skip
    assert _file(tmp_path, **ahead).recurrent_layers == tuple(other)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"ssm.time_step_rank": 5}, "inner_size"),
        ({"ssm.group_count": 4}, "time_step_rank"),
        ({"ssm.state_size": 20}, "state_size"),
        ({"ssm.inner_size": 60}, "inner_size"),
        ({"ssm.conv_kernel": 65}, "conv_kernel"),
        ({"ssm.state_size": 1 << 19, "ssm.inner_size": 6 << 16}, "state_size"),
        ({"attention.recurrent_layers": [True] * 3}, "recurrent_layers"),
        ({"attention.recurrent_layers": [True] * 5}, "recurrent_layers"),
        ({"full_attention_interval": 0}, "full_attention_interval"),
        ({"attention.head_count_kv": [2, 2, 2, 0]}, "head_count_kv"),
        ({"attention.head_count_kv": [0, 0, 2]}, "head_count_kv"),
        ({"feed_forward_length": [200, 0, 200, 200]}, "feed_forward_length"),
    ],
)
def test_what_a_file_cannot_mean(changes: dict[str, object], key: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=key):
        _file(tmp_path, **changes)
