"""LFM2, with experts too, against transformers and torch in float32, and files in llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.oracles.transformers_answers import check_answers

pytestmark = pytest.mark.oracle

N_IDS = 200


def _types(text: str) -> dict[str, Any]:
    """Which layers are convolutions: c, or a for attention."""
    return {"layer_types": [{"c": "conv", "a": "full_attention"}[one] for one in text]}


def _experts(n: int, used: int, width: int, dense: int, **more: object) -> dict[str, Any]:
    return {"num_experts": n, "num_experts_per_tok": used, "moe_intermediate_size": width,
            "num_dense_layers": dense, **more}  # fmt: skip


# name: (model_type, (dim, hidden, layers, heads, kv heads, head_dim), tied, options)
CASES: dict[str, tuple[str, tuple[int, ...], bool, dict[str, Any]]] = {
    "lfm2": ("lfm2", (96, 160, 5, 4, 2, 24), True, {
        **_types("ccacc"), "block_auto_adjust_ff_dim": False}),
    "lfm2-adjusted": ("lfm2", (64, 300, 3, 4, 4, 16), False, {
        **_types("aca"), "block_multiple_of": 48, "block_ffn_dim_multiplier": 1.2}),
    "lfm2-long": ("lfm2", (72, 96, 4, 3, 1, 24), True, {
        **_types("caac"), "conv_L_cache": 7, "conv_bias": True,
        "block_ffn_dim_multiplier": 0.75}),
    "lfm2-two-taps": ("lfm2", (128, 160, 2, 8, 2, 16), False, {
        **_types("ac"), "conv_L_cache": 2, "block_auto_adjust_ff_dim": False}),
    "lfm2moe": ("lfm2_moe", (96, 128, 4, 4, 2, 24), True, {
        **_types("caca"), **_experts(8, 3, 48, 1)}),
    "lfm2moe-all": ("lfm2_moe", (64, 96, 3, 4, 1, 16), False, {
        **_types("acc"), **_experts(5, 1, 32, 0, conv_bias=True, routed_scaling_factor=2.5)}),
    "lfm2moe-unnormed": ("lfm2_moe", (64, 96, 4, 2, 2, 32), True, {
        **_types("ccca"), **_experts(6, 4, 64, 2, norm_topk_prob=False, conv_L_cache=4)}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_logits_and_greedy_ids(name: str, checkpoints: Path) -> None:
    check_answers(checkpoints / name)
