"""adapter_config.json: what changes the arithmetic is computed, or refused by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.lora.peft_config import PeftConfig

WHERE = Path("lora")
STATED: dict[str, Any] = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}


def read(**stated: Any) -> PeftConfig:
    return PeftConfig.of(WHERE, {**STATED, **stated})


def test_scales() -> None:
    """Expected values are those of peft's LoraLayer.update_layer and get_pattern_key."""
    assert read().scale("model.layers.0.self_attn.q_proj", 8) == 2
    assert read(use_rslora=True).scale("x", 8) == 16 / 8**0.5
    ranks = {"layers.0.self_attn.q_proj": 4, r"model\.layers\.\d+\.mlp\.up_proj": 2, "up_proj": 6}
    patterns = read(rank_pattern=ranks, alpha_pattern={"q_proj": 1})
    assert patterns.scale("model.layers.0.self_attn.q_proj", 4) == 1 / 4
    assert patterns.scale("model.layers.10.self_attn.q_proj", 8) == 1 / 8
    assert patterns.scale("model.layers.1.mlp.up_proj", 2) == 16 / 2
    assert patterns.scale("other.up_proj", 6) == 16 / 6
    assert patterns.scale("model.layers.1.mlp.gate_up_proj", 8) == 2  # no dot before the pattern
    with pytest.raises(ModelFileError, match=r"x: rank: expected 8, as it says, got 4"):
        read().scale("x", 4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "IA3"),
        ("peft_type", None),
        ("use_dora", True),
        ("modules_to_save", ["lm_head"]),
        ("bias", "all"),
        ("lora_bias", True),
        ("layer_replication", [[0, 2]]),
        ("trainable_token_indices", [3]),
        ("target_parameters", ["x"]),
        ("use_qalora", True),
        ("alora_invocation_tokens", [1]),
        ("megatron_config", {"a": 1}),
        ("something_new", 3),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "pissa_niter_4"),
        ("init_lora_weights", "olora"),
        ("init_lora_weights", "loftq"),
        ("rank_pattern", {"(a*)*b": 3}),
        ("alpha_pattern", {"a" * 300: 3}),
        ("alpha_pattern", {".*.*.*.*.*x": 3}),
    ],
)
def test_what_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        read(**{key: value})
    assert str(caught.value).startswith(f"lora: {key}: expected")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("r", 0), ("r", None), ("r", "8"), ("r", True), ("lora_alpha", float("nan")),
        ("lora_alpha", float("inf")), ("lora_alpha", -1), ("use_rslora", "yes"),
        ("rank_pattern", [1]), ("rank_pattern", {"q": 0}), ("alpha_pattern", {"q(": 1}),
    ],
)  # fmt: skip
def test_numbers_that_are_none(key: str, value: Any) -> None:
    with pytest.raises(ModelFileError, match=rf"^lora: {key}"):
        read(**{key: value})


def test_what_changes_nothing() -> None:
    said = read(
        base_model_name_or_path="org/base", lora_dropout=0.1, target_modules=["q_proj"],
        fan_in_fan_out=True, init_lora_weights="gaussian", layers_to_transform=[1], bias="none",
        use_dora=False, modules_to_save=None, layer_replication=None, megatron_config=None,
        peft_version="0.21", runtime_config={"ephemeral_gpu_offload": False}, loftq_config={},
    )  # fmt: skip
    assert (said.base, said.r, said.alpha) == ("org/base", 8, 16)
