"""Compressed keys and values as GGUF files state them: newer ones, and those before May 2025."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from halfbyte.engine.footprint import kv_cache_nbytes
from halfbyte.engine.kv_cache import kv_layout
from halfbyte.errors import ModelFileError, RequestError, UnsupportedModelError
from halfbyte.families.config import ModelConfig
from halfbyte.families.latent_config import LatentConfig
from tests.runtime.families.test_from_gguf import read

OLD = {
    "deepseek2.context_length": 163840, "deepseek2.embedding_length": 96,
    "deepseek2.block_count": 3, "deepseek2.feed_forward_length": 200,
    "deepseek2.attention.head_count": 4, "deepseek2.attention.head_count_kv": 4,
    "deepseek2.attention.layer_norm_rms_epsilon": 1e-6, "deepseek2.rope.freq_base": 1e4,
    "deepseek2.attention.key_length": 40, "deepseek2.attention.value_length": 20,
    "deepseek2.attention.kv_lora_rank": 32, "deepseek2.rope.dimension_count": 16,
}  # fmt: skip
NEW = OLD | {
    "deepseek2.attention.head_count_kv": 1, "deepseek2.attention.key_length": 48,
    "deepseek2.attention.value_length": 32, "deepseek2.attention.key_length_mla": 40,
    "deepseek2.attention.value_length_mla": 20, "deepseek2.attention.q_lora_rank": 24,
}  # fmt: skip
YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 40.0,
        "rope.scaling.original_context_length": 4096}  # fmt: skip


def _read(tmp_path: Path, good: dict[str, object] = NEW, **changes: object) -> ModelConfig:
    return read(tmp_path, good | {f"deepseek2.{k}": v for k, v in changes.items()}, "deepseek2")


def test_both_ways_to_state_the_same_sizes(tmp_path: Path) -> None:
    for good, latent in (
        (NEW, LatentConfig(24, 32, 24, 16, 20)),
        (OLD, LatentConfig(0, 32, 24, 16, 20, is_fused=True)),
    ):
        config = _read(tmp_path, good)
        assert config.latent == latent and latent.qk_dim == 40
        assert (config.n_kv_heads, config.head_dim, config.attended_dim) == (1, 48, 80)
        assert config.rope.n_features == 16 and config.attention_scale == 40**-0.5


def test_the_cache_is_that_of_the_compressed_form(tmp_path: Path) -> None:
    config, n = _read(tmp_path), 3 * 256  # three layers, two pages
    row = 64  # 48 features, padded
    assert kv_cache_nbytes(config, 256) == {
        "f16": 2 * row * n, "f32": 4 * row * n, "int8": None, "int4": None,
    }  # fmt: skip
    with pytest.raises(RequestError, match="compressed keys"):
        kv_layout(config, "int8", 128)


def test_scores_grow_where_positions_are_stretched(tmp_path: Path) -> None:
    """DeepSeek-V2-Lite's numbers; llama.cpp's key has a tenth of mscale_all_dim."""
    config = _read(tmp_path, **YARN, **{"rope.scaling.yarn_log_multiplier": 0.0707})
    grown = 0.1 * 0.707 * math.log(40) + 1
    assert config.attention_scale == pytest.approx(grown**2 * 40**-0.5, rel=1e-6)
    assert config.rope.attention_factor == 1
    config = _read(tmp_path, **YARN)
    assert config.attention_scale == 40**-0.5
    assert config.rope.attention_factor == pytest.approx(0.1 * math.log(40) + 1)


def test_experts_are_chosen_as_a_file_says(tmp_path: Path) -> None:
    stated = {"expert_count": 8, "expert_used_count": 2, "expert_feed_forward_length": 32,
              "expert_shared_count": 2, "leading_dense_block_count": 1}  # fmt: skip
    for more, found in (
        ({}, ("softmax", False, 1)),
        ({"expert_gating_func": 2, "expert_weights_norm": True}, ("sigmoid", True, 2)),
    ):
        e = _read(tmp_path, **stated, **more).experts
        assert e is not None
        assert (e.gating, e.normalizes, e.n_group_best) == found
        assert (e.n_dense_layers, e.shared_dim) == (1, 64)


def test_layers_that_guess_tokens_ahead_are_left_out(tmp_path: Path) -> None:
    assert _read(tmp_path, nextn_predict_layers=1).n_layers == 2
    with pytest.raises(ModelFileError, match="nextn_predict_layers"):
        _read(tmp_path, nextn_predict_layers=3)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention.head_count_kv", 4), ("attention.key_length", 49),
        ("attention.value_length", 20), ("attention.kv_lora_rank", 8),
        ("rope.dimension_count", 15), ("rope.dimension_count", 40),
    ],
)  # fmt: skip
def test_numbers_that_contradict_each_other(tmp_path: Path, key: str, value: int) -> None:
    with pytest.raises(ModelFileError, match=key):
        _read(tmp_path, **{key: value})


@pytest.mark.parametrize(
    ("key", "value"), [("type", "linear"), ("attn_factor", 1.2), ("yarn_attn_factor", 0.5)]
)
def test_other_ways_to_stretch_positions_are_refused(
    tmp_path: Path, key: str, value: object
) -> None:
    with pytest.raises(UnsupportedModelError, match=key):
        _read(tmp_path, **{**YARN, f"rope.scaling.{key}": value})
