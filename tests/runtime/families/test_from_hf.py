"""config.json as transformers reads it; what a checkpoint needs is tested with the converter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.registry import BY_MODEL_TYPE

GOLDEN = Path(__file__).parents[2] / "data" / "golden_config_defaults.json"
DEFAULTS: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text())

# Where no model is as its class has it: 96 heads of 4096 features, layers of no kind; and where a
# width that is stated is adjusted.
STATED: dict[str, dict[str, Any]] = {
    "glm4_moe": {"head_dim": 128},
    "lfm2": {"block_auto_adjust_ff_dim": False},
    "lfm2_moe": {"layer_types": ["full_attention"] * 32},
    "granitemoehybrid": {
        "position_embedding_type": "rope",
        "layer_types": ["mamba"] * 31 + ["attention"],
    },
}


@pytest.mark.parametrize("kind", BY_MODEL_TYPE)
def test_keys_that_are_absent_are_as_transformers_has_them(tmp_path: Path, kind: str) -> None:
    wanted = DEFAULTS[kind]
    made = config_from_hf(tmp_path, {"model_type": kind, **STATED.get(kind, {})})
    n_kv_heads, head_dim = made.n_kv_heads, made.head_dim
    if made.latent:  # the cache has one head, of another width
        n_kv_heads, head_dim = made.n_heads, made.latent.rope_dim
    got = {
        "hidden_size": made.dim, "num_hidden_layers": made.n_layers,
        "intermediate_size": wanted["intermediate_size"] and made.hidden_dim,
        "num_attention_heads": made.n_heads,
        "num_key_value_heads": n_kv_heads, "rms_norm_eps": made.norm_eps,
        "max_position_embeddings": made.n_ctx_train, "vocab_size": made.vocab_size,
        "tie_word_embeddings": made.tied, "sliding_window": made.sliding_window or None,
        "head_dim": head_dim, "rope_theta": made.rope.theta if made.rope_of(0) else None,
    }  # fmt: skip
    assert got == wanted


def test_null_is_not_absent(tmp_path: Path) -> None:
    """It says that there is no window, and that every head has its own keys and values."""
    mistral = {"model_type": "mistral", "sliding_window": None, "num_key_value_heads": None}
    made = config_from_hf(tmp_path, mistral)
    assert (made.sliding_window, made.n_kv_heads) == (0, 32)
    qwen3 = {"model_type": "qwen3", "head_dim": None, "hidden_size": 2048}
    assert config_from_hf(tmp_path, qwen3).head_dim == 64
    with pytest.raises(ConversionError, match="num_hidden_layers"):
        config_from_hf(tmp_path, {"model_type": "llama", "num_hidden_layers": None})


@pytest.mark.parametrize("kind", [None, ["llama"], {"a": 1}, 5, "gpt2"])
def test_a_model_type_that_is_none(tmp_path: Path, kind: object) -> None:
    with pytest.raises(ConversionError, match="model_type") as refused:
        config_from_hf(tmp_path, {"model_type": kind})
    assert all(known in refused.value.hint for known in BY_MODEL_TYPE)


WITH_WINDOWS = [
    kind for kind, family in BY_MODEL_TYPE.items() if "sliding_window" in family.defaults[kind]
]


@pytest.mark.parametrize("kind", WITH_WINDOWS)
@pytest.mark.parametrize("window", [0, -1, True, False, "512", 8.0])
def test_a_window_that_is_none(tmp_path: Path, kind: str, window: object) -> None:
    with pytest.raises(ConversionError) as refused:
        config_from_hf(tmp_path, {"model_type": kind, "sliding_window": window})
    assert refused.value.field == "sliding_window"


@pytest.mark.parametrize("kind", ["laguna", "mellum", "gemma3_text", "olmo3", "mistral"])
def test_layers_with_a_window_that_is_not_stated(tmp_path: Path, kind: str) -> None:
    layers = {"num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"]}
    with pytest.raises(ConversionError) as refused:
        config_from_hf(tmp_path, {"model_type": kind, "sliding_window": None, **layers})
    assert refused.value.field in ("layer_types", "sliding_window")
