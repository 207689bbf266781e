"""Experts as config.json states them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.families.config import ExpertsConfig
from halfbyte.families.from_hf import config_from_hf


def _experts(kind: str, **stated: Any) -> ExpertsConfig | None:
    return config_from_hf(Path("x"), {"model_type": kind, **stated}).experts


def test_defaults_are_those_of_transformers() -> None:
    assert _experts("qwen3_moe") == ExpertsConfig(128, 8, 768, normalizes=False)
    assert _experts("mixtral") == ExpertsConfig(8, 2, 14336)
    assert _experts("qwen2_moe") == ExpertsConfig(60, 4, 1408, 0, 5632, normalizes=False)
    assert _experts("llama") is None
    assert _experts("granitemoe") == ExpertsConfig(8, 2, 11008, gating="softmax_of_used")
    assert _experts("ernie4_5_moe") == ExpertsConfig(64, 6, 1536, 2, 3072, n_dense_layers=1)
    glm = ExpertsConfig(128, 8, 1408, 1, 1408, n_dense_layers=1, gating="sigmoid")
    assert _experts("glm4_moe", head_dim=128) == glm


def test_both_names_of_a_number() -> None:
    wanted = ExpertsConfig(16, 8, 768, normalizes=True)
    stated = {"num_local_experts": 16, "norm_topk_prob": True}
    assert _experts("qwen3_moe", **stated) == wanted
    assert _experts("qwen3_moe", **stated, num_experts=16) == wanted
    with pytest.raises(ConversionError, match="num_experts and num_local_experts"):
        _experts("qwen3_moe", num_local_experts=16, num_experts=32)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_experts_per_tok", 129), ("num_experts_per_tok", 0), ("num_experts", "8"),
        ("moe_intermediate_size", 0), ("norm_topk_prob", 1), ("decoder_sparse_step", 0),
        ("mlp_only_layers", [-1]), ("mlp_only_layers", 3), ("use_sliding_window", True),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ConversionError, match=key):
        _experts("qwen3_moe", **{key: value})


@pytest.mark.parametrize(
    ("kind", "stated", "layers"),
    [
        ("qwen3_moe", {}, "eeeeee"),
        ("qwen3_moe", {"mlp_only_layers": [0, 3, 99]}, ".ee.ee"),
        ("qwen2_moe", {"decoder_sparse_step": 2, "mlp_only_layers": [1]}, "...e.e"),
        ("ernie4_5_moe", {}, ".eeeee"),
        ("ernie4_5_moe", {"moe_layer_start_index": 2, "moe_layer_end_index": 4}, "..eee."),
        ("ernie4_5_moe", {"moe_layer_start_index": 0, "moe_layer_interval": 3}, "..e..e"),
        ("ernie4_5_moe", {"moe_layer_end_index": 0}, "......"),
        ("glm4_moe", {"head_dim": 16, "first_k_dense_replace": 3}, "...eee"),
    ],
)
def test_which_layers_have_them(kind: str, stated: dict[str, Any], layers: str) -> None:
    """As transformers' classes choose; those of no number are none."""
    config = config_from_hf(Path("x"), {"model_type": kind, "num_hidden_layers": 6, **stated})
    assert "".join("e" if config.has_experts(i) else "." for i in range(6)) == layers


def test_other_models_have_no_experts() -> None:
    with pytest.raises(ConversionError, match="num_local_experts"):
        _experts("llama", num_local_experts=8)
