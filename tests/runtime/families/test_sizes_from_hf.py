"""Sizes of layers that differ as config.json states them, in older and newer words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.families.config import ModelConfig
from halfbyte.families.from_hf import config_from_hf

TYPES = ["sliding_attention", "sliding_attention", "full_attention"] * 2
GOOD: dict[str, Any] = {
    "hidden_size": 96, "intermediate_size": 200, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "global_head_dim": 64, "vocab_size": 100,
    "vocab_size_per_layer_input": 100, "hidden_size_per_layer_input": 64, "layer_types": TYPES,
    "num_kv_shared_layers": 3, "use_double_wide_mlp": True,
}  # fmt: skip


def _read(kind: str = "gemma4_text", **changes: Any) -> ModelConfig:
    return config_from_hf(Path("x"), {"model_type": kind, **GOOD, **changes})


def test_both_ways_to_state_the_same() -> None:
    older = _read(attention_k_eq_v=True, num_global_key_value_heads=1)
    by_layer = {str(i): {"head_dim": 64, "num_key_value_heads": 1} for i in (2, 5)}
    newer = _read(attention_k_eq_v=True, per_layer_config=by_layer, global_head_dim=512)
    assert older == newer and older.sizes is not None
    assert older.sizes.head_dims == (32, 32, 64) * 2
    assert older.sizes.n_kv_heads == (2, 2, 1) * 2
    assert older.sizes.values_are_keys == (False, False, True, False, False, False)
    assert older.sizes.hidden_dims == (200,) * 3 + (400,) * 3
    # Without that its number of KV heads there says nothing.
    assert _read(num_global_key_value_heads=1).n_kv_heads == 2


def test_a_part_of_each_head_is_rotated_as_if_all_were() -> None:
    rope = _read().rope  # by default a quarter, and the first pairs of all
    assert rope.divisors == (1.0,) * 8 + (1e30,) * 24 and rope.n_features == 0
    turns = rope.frequencies(64)
    assert turns[1] == pytest.approx(1e6 ** (-2 / 64)) and (turns[8:] < 1e-29).all()


def test_the_last_layer_sees_all(caplog: pytest.LogCaptureFixture) -> None:
    c = _read(layer_types=[*TYPES[:5], "sliding_attention"])
    assert c.sliding_layers[-1] is False and "the last layer has no window" in caplog.text


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"num_kv_shared_layers": 6}, "num_kv_shared_layers"),
        ({"num_kv_shared_layers": 4}, "a layer without a window among the first 2"),
        ({"head_dim": 33}, "head_dim: expected an even number"),
        ({"global_head_dim": 1 << 40}, "global_head_dim"),
        ({"num_key_value_heads": 3}, "divisors of the 4 heads"),
        ({"per_layer_config": []}, "an object of objects"),
        ({"per_layer_config": {"6": {}}}, "numbers of layers below 6"),
        ({"per_layer_config": {"2": {"hidden_size": 3}}}, "others are not supported"),
        ({"per_layer_config": {"2": {"head_dim": 64}}}, "one number for layers without a window"),
        ({"per_layer_config": {"2": {"num_key_value_heads": 0}}}, "per_layer_config.2"),
        ({"hidden_size_per_layer_input": 40}, "multiple of 32"),
        ({"vocab_size_per_layer_input": 99}, "vocab_size, 100"),
        ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention"),
        ({"num_experts": 8}, "num_experts"),
        ({"enable_moe_block": True}, "num_experts"),
        ({"layer_types": TYPES[:5]}, "one for each of 6 layers"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ConversionError, match=match):
        _read(**changes)
