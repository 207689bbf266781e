"""Gated delta nets against transformers and torch in float32: sizes, heads and orders of layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.oracles.transformers_answers import check_answers

pytestmark = pytest.mark.oracle

N_IDS = 150  # more than two chunks of transformers' own
_L, _A = "linear_attention", "full_attention"


def _nets(n_keys: int, n_values: int, key: int, value: int, taps: int = 4) -> dict[str, Any]:
    return {"linear_num_key_heads": n_keys, "linear_num_value_heads": n_values,
            "linear_key_head_dim": key, "linear_value_head_dim": value,
            "linear_conv_kernel_dim": taps}  # fmt: skip


def _rope(part: float, *sections: int) -> dict[str, Any]:
    stated = {"mrope_section": list(sections), "mrope_interleaved": True} if sections else {}
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 1e5,
                                "partial_rotary_factor": part, **stated}}  # fmt: skip


def _experts(n: int, used: int, width: int, shared: int) -> dict[str, Any]:
    return {"num_experts": n, "num_experts_per_tok": used, "moe_intermediate_size": width,
            "shared_expert_intermediate_size": shared}  # fmt: skip


# name: (model_type, (dim, hidden, layers, heads, kv heads, head_dim), tied, options)
CASES: dict[str, tuple[str, tuple[int, ...], bool, dict[str, Any]]] = {
    "next": ("qwen3_next", (96, 128, 4, 4, 2, 32), False, {
        **_nets(2, 4, 32, 32), **_rope(0.25), **_experts(8, 3, 48, 64)}),
    "next-one-key-head": ("qwen3_next", (64, 96, 3, 2, 1, 64), True, {
        **_nets(1, 3, 16, 48, 3), **_rope(0.5), **_experts(4, 2, 32, 32),
        "layer_types": [_A, _L, _L], "norm_topk_prob": False}),
    "next-dense-layers": ("qwen3_next", (64, 96, 4, 4, 4, 16), False, {
        **_nets(4, 4, 48, 16, 2), **_rope(1.0), **_experts(6, 2, 32, 96),
        "mlp_only_layers": [0, 3], "layer_types": [_L, _A, _L, _L]}),
    "dense": ("qwen3_5_text", (96, 128, 4, 4, 2, 32), False, {
        **_nets(2, 6, 32, 32), **_rope(0.25, 2, 1, 1)}),
    "dense-odd-layers": ("qwen3_5_text", (64, 96, 5, 6, 2, 16), True, {
        **_nets(3, 3, 64, 80), **_rope(0.5), "layer_types": [_L, _L, _A, _A, _L]}),
    "dense-wide": ("qwen3_5_text", (64, 160, 2, 4, 1, 48), False, {
        **_nets(4, 8, 128, 128), **_rope(0.25, 3, 2, 1), "layer_types": [_A, _L]}),
    "moe": ("qwen3_5_moe_text", (96, 128, 4, 4, 2, 32), False, {
        **_nets(2, 4, 32, 32), **_rope(0.25, 2, 1, 1), **_experts(16, 4, 32, 48)}),
    "moe-tied": ("qwen3_5_moe_text", (64, 96, 3, 2, 2, 32), True, {
        **_nets(2, 8, 16, 32), **_rope(0.25), **_experts(5, 1, 64, 32),
        "layer_types": [_L, _A, _L]}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_logits_and_greedy_ids(name: str, checkpoints: Path) -> None:
    check_answers(checkpoints / name)
