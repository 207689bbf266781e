"""Configurations against what transformers makes of them: golden here, random ones in oracles/."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halfbyte.errors import ConversionError
from halfbyte.families.config import RopeConfig
from halfbyte.families.from_hf import config_from_hf

CASES = json.loads((Path(__file__).parents[2] / "data" / "golden_configs.json").read_text("utf-8"))


def rope(**stated: Any) -> RopeConfig:
    return config_from_hf(Path("model"), {"model_type": "llama", **stated}).rope


def check(config: dict[str, Any], answer: dict[str, Any]) -> None:
    """The same angles, shapes, window and norm as transformers' model has."""
    made = config_from_hf(Path("model"), config)
    ours = made.rope.frequencies(made.head_dim)
    np.testing.assert_allclose(ours, answer["frequencies"], rtol=1e-5)
    assert np.isclose(answer["attention_factor"], made.rope.attention_factor, rtol=1e-9)
    assert np.isclose(answer["scale"], made.head_dim**-0.5, rtol=1e-9)
    assert answer["q"] == [made.q_dim, made.dim]
    assert answer["k"] == [made.kv_dim, made.dim]
    assert answer["gate"] == [made.hidden_dim, made.dim]
    assert answer["n_layers"] == made.n_layers
    assert (answer["norm_eps"], answer["tied"]) == (made.norm_eps, made.tied)
    assert answer["has_window"] == bool(made.sliding_window)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_as_transformers_has_it(case: dict[str, Any]) -> None:
    check(case["config"], case["answer"])


def test_the_older_object_is_taken_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    newer = {"rope_type": "default", "rope_theta": 1e6}
    both = rope(rope_parameters=newer, rope_scaling={"type": "linear", "factor": 2.0})
    assert both == RopeConfig(10000.0, 2.0)
    assert "rope_scaling is taken" in caplog.text
    caplog.clear()
    assert rope(rope_parameters=newer, rope_scaling={}) == RopeConfig(1e6)
    assert caplog.text == ""


def test_numbers_that_a_kind_does_not_take_get_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert rope(rope_scaling={"type": "default", "factor": 4.0, "mscale": 1}).factor == 1
    assert "'factor', 'mscale'" in caplog.text


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}, "full_attention"),
        ({"rope_parameters": {"rope_theta": 1e6, "sliding_attention": {}}}, "sliding_attention"),
        ({"rope_scaling": {"type": "yarn", "factor": -4.0}}, "rope_scaling.factor"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": "32"}}, "beta_fast"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0, "truncate": False}}, "truncate"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": False}}, "mscale"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale_all_dim": True}}, "mscale_all"),
        ({"rope_scaling": {"type": "yarn", "factor": True}}, "rope_scaling.factor"),
        (
            {"rope_scaling": {"type": "yarn", "factor": 4.0, "attention_factor": 0}},
            "attention_factor",
        ),
        ({"rope_scaling": {"type": "longrope", "short_factor": [1.0] * 64}}, "long_factor"),
        ({"rope_scaling": {"type": "longrope", "short_factor": [1.0] * 9}}, "short_factor"),
        ({"rope_scaling": {"type": "longrope", "short_factor": [0.0] * 64}}, "short_factor"),
        ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, "rope_type"),
        ({"rope_scaling": {"type": None}}, "rope_type"),
        ({"rope_scaling": {"type": ["linear"], "factor": 2.0}}, "rope_type"),
        ({"rope_scaling": "linear"}, "rope_scaling"),
        ({"rope_parameters": 5}, "rope_parameters"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling.factor"),
        ({"rope_scaling": {"type": "linear", "factor": True}}, "rope_scaling.factor"),
        ({"rope_scaling": {"type": "linear", "factor": 10**400}}, "rope_scaling.factor"),
        ({"rope_theta": 0}, "rope_theta"),
        ({"rope_theta": None}, "rope_theta"),
        ({"rope_parameters": {"rope_theta": float("nan")}}, "rope_parameters.rope_theta"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"partial_rotary_factor": True}, "partial_rotary_factor"),
        ({"rope_parameters": {"partial_rotary_factor": 0.25}}, "partial_rotary_factor"),
        ({"rope_scaling": {**LLAMA3, "high_freq_factor": 1.0}}, "high_freq_factor"),
        ({"rope_scaling": {**LLAMA3, "low_freq_factor": -1.0}}, "low_freq_factor"),
        ({"rope_scaling": {**LLAMA3, "original_max_position_embeddings": "64"}}, "original_max"),
        ({"rope_scaling": LLAMA3, "original_max_position_embeddings": -8}, "original_max"),
        ({"rope_scaling": LLAMA3, "original_max_position_embeddings": 1e30}, "original_max"),
        (
            {
                "rope_scaling": {
                    "type": "longrope",
                    "short_factor": [1.0] * 64,
                    "factor": 2.0,
                    "long_factor": [1.0] * 64,
                    "original_max_position_embeddings": 1,
                }
            },
            "original_max",
        ),
    ],
)
def test_what_is_refused_names_its_key(stated: dict[str, Any], field: str) -> None:
    with pytest.raises(ConversionError) as caught:
        rope(**stated)
    assert field in caught.value.field
