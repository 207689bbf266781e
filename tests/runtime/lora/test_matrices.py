"""Which matrices an adapter can change: those that a step multiplies by, and no tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from halfbyte.engine.factor_places import factor_places
from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.families.layer_sizes import LayerSizes
from halfbyte.families.registry import family_of
from halfbyte.lora.matrices import matrices_of

LLAMA = ModelConfig(
    architecture="llama", name="", dim=64, hidden_dim=96, n_layers=2, n_heads=4, n_kv_heads=1,
    head_dim=16, vocab_size=300, n_ctx_train=128, norm_eps=1e-5, rope=RopeConfig(1e4),
)  # fmt: skip
LAYERS: dict[str, Any] = {
    "per_layer_dim": 32, "sliding_window": 50, "sliding_layers": (True, False),
    "sizes": LayerSizes((16, 16), (1, 1), (96, 96), 0, (False, False)),
}  # fmt: skip
CONFIGS = {
    "llama": LLAMA,
    "phi3": replace(LLAMA, architecture="phi3"),  # matrices that are cut in memory
    "starcoder": replace(LLAMA, architecture="starcoder"),
    "gemma4": replace(LLAMA, architecture="gemma4", **LAYERS),
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("tied", [False, True])
def test_all_that_may_be_changed_is_multiplied_by(name: str, *, tied: bool) -> None:
    """An adapter of anything else would be taken, and do nothing."""
    config = replace(CONFIGS[name], tied=tied)
    found, places = matrices_of(config), factor_places(config)
    parts = {part for s in found.values() for part, _ in s.parts or ((s.name, 0),)}
    assert parts == places.keys()
    of_kinds = {"starcoder": ["position_embd.weight"], "gemma4": ["per_layer_token_embd.weight"]}
    tables = of_kinds.get(name, [])
    specs = {spec.name for spec in family_of(config).tensors(config)}
    assert specs.issuperset(tables) and not found.keys() & {*tables, "token_embd.weight"}
