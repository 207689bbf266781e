"""Mamba-2's hybrids against transformers and torch in float32, and in llama.cpp.

Sizes of heads and groups, orders of layers, with and without experts and rotation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.oracles.transformers_answers import check_answers

pytestmark = pytest.mark.oracle

N_IDS = 300  # over a page's border, and over those of chunks
_SCALES = {"embedding_multiplier": 4.0, "residual_multiplier": 0.4, "logits_scaling": 3.0,
           "attention_multiplier": 0.2}  # fmt: skip
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}


def _granite(
    layers: str, heads: tuple[int, int, int, int], taps: int = 4, **more: object
) -> dict[str, Any]:
    """`heads`: how many of what size, features of a state, groups; `layers`: m and a."""
    names = ("mamba_n_heads", "mamba_d_head", "mamba_d_state", "mamba_n_groups")
    kinds = {"m": "mamba", "a": "attention"}
    return {
        **dict(zip(names, heads, strict=True)), "mamba_d_conv": taps, "mamba_chunk_size": 64,
        "layer_types": [kinds[one] for one in layers], "num_local_experts": 0,
        "num_experts_per_tok": 0, **_SCALES, **_ROPE, **more,
    }  # fmt: skip


def _nemotron(pattern: str, heads: tuple[int, int, int, int], **more: object) -> dict[str, Any]:
    names = ("mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups")
    return {
        **dict(zip(names, heads, strict=True)), "hybrid_override_pattern": pattern,
        "chunk_size": 64, "time_step_min": 1e-9, **more,
    }  # fmt: skip


def _experts(n: int, used: int, width: int, shared: int, **more: object) -> dict[str, Any]:
    return {"n_routed_experts": n, "num_experts_per_tok": used, "moe_intermediate_size": width,
            "moe_shared_expert_intermediate_size": shared, **more}  # fmt: skip


# name: (model_type, (dim, hidden, layers, heads, kv heads, head_dim), tied, options)
CASES: dict[str, tuple[str, tuple[int, ...], bool, dict[str, Any]]] = {
    "granite": ("granitemoehybrid", (96, 128, 4, 4, 2, 24), True, _granite(
        "mmam", (8, 24, 32, 1), shared_intermediate_size=128)),
    "granite-rope": ("granitemoehybrid", (64, 96, 3, 4, 1, 16), False, _granite(
        "amm", (2, 64, 16, 2), shared_intermediate_size=160, position_embedding_type="rope")),
    "granite-moe": ("granitemoehybrid", (64, 48, 5, 2, 2, 32), True, _granite(
        "mamma", (16, 8, 24, 4), num_local_experts=6, num_experts_per_tok=2,
        shared_intermediate_size=64)),
    "granite-many": ("granitemoehybrid", (96, 32, 3, 6, 2, 16), True, _granite(
        "mma", (12, 16, 128, 3), 3, num_local_experts=20, num_experts_per_tok=4,
        shared_intermediate_size=96, attention_bias=True)),
    "granite-attention": ("granitemoehybrid", (64, 96, 2, 4, 2, 16), True, _granite(
        "aa", (8, 16, 16, 1), shared_intermediate_size=96, position_embedding_type="rope")),
    "nemotron": ("nemotron_h", (96, 160, 6, 4, 2, 24), False, _nemotron(
        "M-M*-M", (10, 20, 32, 5))),
    "nemotron-biases": ("nemotron_h", (64, 96, 4, 4, 1, 32), False, _nemotron(
        "*M-M", (4, 64, 16, 1), mlp_bias=True)),
    "nemotron-one-head": ("nemotron_h", (64, 96, 3, 2, 2, 16), False, _nemotron(
        "M*-", (4, 40, 24, 4), conv_kernel=2)),
    "nemotron-moe": ("nemotron_h", (64, 96, 5, 4, 2, 16), False, _nemotron(
        "MEM*E", (8, 16, 32, 2), **_experts(8, 3, 48, 96, routed_scaling_factor=2.5))),
    "nemotron-groups": ("nemotron_h", (96, 128, 6, 6, 3, 16), False, _nemotron(
        "EM*E-M", (6, 32, 128, 3), **_experts(12, 4, 32, 64, n_group=4, topk_group=2,
                                               norm_topk_prob=False))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_logits_and_greedy_ids(name: str, checkpoints: Path) -> None:
    check_answers(checkpoints / name)
