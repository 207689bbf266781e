"""Whatever a config.json holds: a configuration that can run, or one error that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from halfbyte.errors import ConversionError
from halfbyte.families.config import MAX_CTX, MAX_DIM, MAX_LAYERS, MAX_VOCAB
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.hf_keys import NEUTRAL, READ, READ_IN_ROPE
from halfbyte.families.registry import BY_MODEL_TYPE
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP

NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2, 4, 64, 2**30, 2**63, 10**400, -(10**400), 1e308, 1e-308, 5e-324]),
    st.integers(),
    st.floats(),
)
NONSENSE = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(sorted(READ_IN_ROPE | {"a"})), inner, max_size=4),
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(sorted(READ | NEUTRAL.keys()))
ROPES = st.dictionaries(st.sampled_from(sorted(READ_IN_ROPE)), NONSENSE, max_size=5)


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(BY_MODEL_TYPE)),
    st.dictionaries(KEYS, NONSENSE, max_size=4),
    st.none() | ROPES.map(lambda rope: {"rope_type": "llama3", **rope}) | ROPES,
)
@example("llama", {"num_hidden_layers": 2**30}, None)
@example("qwen3", {"rms_norm_eps": 1e308}, None)
@example("llama", {"hidden_size": 10**400}, None)
@example("llama", {"num_attention_heads": 4096, "num_key_value_heads": 1}, None)
@example("llama", {"architectures": [["LlamaForCausalLM"]]}, None)
def test_a_configuration_or_one_error(
    kind: str, changes: dict[str, Any], rope: dict[str, Any] | None
) -> None:
    stated = {"model_type": kind, "rope_scaling": rope, **changes}
    try:
        made = config_from_hf(Path("folder"), stated)
    except ConversionError as error:
        assert error.path == "folder/config.json"
        key = error.field.split(":")[0].split(".")[0]
        assert key in {*READ, *NEUTRAL}
        assert len(str(error)) < 3000
        return
    assert 0 < made.n_layers <= MAX_LAYERS
    assert 0 < made.n_kv_heads <= made.n_heads and made.group <= MAX_GROUP
    assert 0 < made.vocab_size <= MAX_VOCAB
    assert 2 <= made.n_ctx_train <= MAX_CTX
    assert max(made.dim, made.hidden_dim, made.head_dim) <= MAX_DIM
    assert all(0 < x < 2**128 for x in (made.norm_eps, made.rope.theta, made.rope.factor))
    assert all(0 < x < 2**128 for x in made.rope.divisors or ())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 2**30),
        ("num_hidden_layers", 32.0),
        ("num_hidden_layers", True),
        ("hidden_size", 10**400),
        ("hidden_size", "4096"),
        ("vocab_size", -1),
        ("intermediate_size", {"a": 1}),
        ("max_position_embeddings", 1),
        ("num_attention_heads", [32]),
        ("num_key_value_heads", 3),
        ("head_dim", 15),
        ("rms_norm_eps", 1e308),
        ("rms_norm_eps", 10**400),
        ("rms_norm_eps", 0),
        ("rms_norm_eps", -1e-6),
        ("rms_norm_eps", float("nan")),
        ("rms_norm_eps", True),
        ("rms_norm_eps", "1e-6"),
        ("rms_norm_eps", None),
        ("tie_word_embeddings", 1),
        ("tie_word_embeddings", None),
    ],
)
def test_the_error_names_file_key_and_value(key: str, value: object) -> None:
    with pytest.raises(ConversionError) as caught:
        config_from_hf(Path("folder"), {"model_type": "llama", key: value})
    assert (caught.value.path, caught.value.field) == ("folder/config.json", key)
    assert caught.value.got in (value, repr(value)) or value != value
