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
        ("moe_intermediate_size", 0), ("norm_topk_prob", 1), ("decoder_sparse_step", 2),
        ("mlp_only_layers", [0]), ("use_sliding_window", True),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ConversionError, match=key):
        _experts("qwen3_moe", **{key: value})


def test_other_models_have_no_experts() -> None:
    with pytest.raises(ConversionError, match="num_local_experts"):
        _experts("llama", num_local_experts=8)
