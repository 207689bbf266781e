"""Every key of GGUF that llama.cpp reads is known; what would change a result is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halfbyte.errors import UnsupportedModelError
from halfbyte.families import metadata_keys
from halfbyte.families.metadata_keys import NEUTRAL, NOT_USED, READ, WITHOUT_EFFECT, check_keys
from halfbyte.gguf.metadata import Metadata, Value

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "golden_keys.json").read_text("utf-8"))
# Where keys stand that describe, or that other readers check.
ELSEWHERE = ("general.", "tokenizer.", "split.", "clip.", "imatrix.")


def metadata(values: dict[str, Any]) -> Metadata:
    """Types as a file would have them; lists are arrays."""
    made = {}
    for key, value in values.items():
        types = {bool: 7, int: 5, float: 6, str: 8}
        is_array = isinstance(value, list)
        stored = np.array(value) if is_array else value
        made[key] = Value(9 if is_array else types[type(value)], stored)
    return Metadata("a.gguf", made)


def test_every_key_is_known_once() -> None:
    groups = [READ, WITHOUT_EFFECT, NEUTRAL.keys(), NOT_USED.keys()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert set(GOLDEN["gguf"]["architecture"]) - set().union(*groups) == set()
    others = set(GOLDEN["gguf"]["elsewhere"]) - metadata_keys.NEUTRAL_ELSEWHERE.keys()
    assert [key for key in others if not key.startswith(ELSEWHERE)] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention.causal", False),
        ("attention.clamp_kqv", 8.0),
        ("embedding_scale", 12.0),
        ("residual_scale", 0.22),
        ("logit_scale", 0.0625),
        ("logit_scale", float("nan")),
        ("attn_logit_softcapping", 50.0),
        ("final_logit_softcapping", 30.0),
        ("rope.scaling.yarn_ext_factor", 0.5),
        ("attention.temperature_scale", 0.1),
        ("rope.dimension_sections", [16, 24, 24, 0]),
        ("attention.rope_pattern", [1, 1, 0, 1]),
        ("classifier.pooling_type", 4),
        ("hidden_activation", "gelu"),
        ("expert_count", 8),
        ("expert_used_count", [0, 2]),
        ("use_parallel_residual", True),
        ("nextn_predict_layers", 1),
        ("classifier.output_labels", ["yes", "no"]),
    ],
)
def test_what_changes_a_result_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        check_keys(metadata({f"qwen2.{key}": value}), "qwen2")
    assert caught.value.field == f"qwen2.{key}"
    check_keys(metadata({f"llama.{key}": value}), "qwen2")  # of another model


@pytest.mark.parametrize("key", ["general.type", "adapter.type", "xielu.beta"])
def test_keys_that_name_no_architecture(key: str) -> None:
    with pytest.raises(UnsupportedModelError, match=key):
        check_keys(metadata({key: "adapter"}), "llama")


def test_neutral_values_pass(caplog: pytest.LogCaptureFixture) -> None:
    values = {"attention.causal": True, "embedding_scale": 1.0, "residual_scale": 0.0,
              "expert_count": 0, "rope.dimension_sections": [0, 0, 0, 0], "pooling_type": 0,
              "attention.rope_pattern": [1, 1], "hidden_activation": "silu",
              "rope.scaling.attn_factor": 1, "attention.layer_norm_epsilon": 1e-5}  # fmt: skip
    check_keys(metadata({f"llama.{key}": value for key, value in values.items()}), "llama")
    check_keys(metadata({"general.type": "model", "general.vendor": 1}), "llama")
    assert caplog.text == ""


def test_what_llama_cpp_itself_saves_passes(caplog: pytest.LogCaptureFixture) -> None:
    """It writes numbers that the architecture does not read: soft caps of 50 and 30."""
    saved = GOLDEN["saved"]
    assert saved["llama.attn_logit_softcapping"] == 50.0
    check_keys(metadata(saved), "llama")
    assert caplog.text == ""
    with pytest.raises(UnsupportedModelError, match="attn_logit_softcapping"):
        check_keys(metadata({**saved, "llama.attn_logit_softcapping": 20.0}), "llama")
    del saved["llama.token_shift_count"]
    with pytest.raises(UnsupportedModelError, match="softcapping"):
        check_keys(metadata(saved), "llama")


def test_windows_and_unknown_keys_get_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_keys(metadata({"llama.attention.sliding_window": 4096}), "llama")
        assert "llama.attention.sliding_window is 4096: not used" in caplog.text
        check_keys(metadata({"llama.pooling_type": 3}), "llama")
        assert "llama.pooling_type is 3: not used" in caplog.text
        check_keys(metadata({f"llama.made_up.{i}": i for i in range(20)}), "llama")
    assert "'llama.made_up.7' and 12 more" in caplog.text
    assert "made_up.8" not in caplog.text
