"""Families that differ in what depends on positions, against transformers and torch in float32.

Contexts are longer than the original ones and than the windows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.oracles.transformers_answers import check_answers

pytestmark = pytest.mark.oracle

N_IDS = 300


def _yarn(factor: float, n_ctx: int, **more: object) -> dict[str, Any]:
    return {"rope_type": "yarn", "rope_theta": 1e6, "factor": factor,
            "original_max_position_embeddings": n_ctx, **more}  # fmt: skip


def _long(n_pairs: int, n_ctx: int, part: float, **more: object) -> dict[str, Any]:
    return {
        "original_max_position_embeddings": n_ctx, "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": part,
            "short_factor": [1 + 0.03 * i for i in range(n_pairs)],
            "long_factor": [1.2 + 0.9 * i for i in range(n_pairs)], **more,
        },
    }  # fmt: skip


_TEMPERED = {"llama_4_scaling_beta": 0.1, "mscale": 1.0, "mscale_all_dim": 1.0}
# name: (model_type, (dim, hidden, layers, heads, kv heads, head_dim), tied, options)
CASES: dict[str, tuple[str, tuple[int, ...], bool, dict[str, Any]]] = {
    "qwen2-yarn": ("qwen2", (128, 160, 2, 4, 2, 32), True, {"rope_parameters": _yarn(4, 64)}),
    "qwen3-yarn": ("qwen3", (96, 160, 3, 4, 1, 64), False, {
        "rope_parameters": _yarn(2.5, 100, beta_fast=16.0, beta_slow=2.0)}),
    "llama-yarn": ("llama", (128, 96, 2, 2, 2, 64), False, {
        "rope_parameters": _yarn(8, 32, attention_factor=1.3)}),
    "llama-mscale": ("llama", (64, 96, 2, 4, 2, 16), False, {
        "rope_parameters": _yarn(8, 32, mscale=1.0, mscale_all_dim=0.7)}),
    "phi3-plain": ("phi3", (128, 160, 2, 4, 4, 32), False, {}),
    "phi4": ("phi3", (160, 96, 3, 10, 5, 16), False, {"sliding_window": None}),
    "phi3-window": ("phi3", (128, 176, 2, 4, 2, 32), True, {"sliding_window": 100}),
    "phi3-long": ("phi3", (128, 160, 2, 4, 1, 32), False, _long(16, 128, 1.0)),
    "phi4-mini": ("phi3", (192, 160, 2, 6, 2, 32), True, {
        "sliding_window": 1000, **_long(12, 64, 0.75)}),
    "phi3-short": ("phi3", (128, 160, 2, 4, 2, 32), True, {
        **_long(12, 400, 0.75, attention_factor=1.4), "max_position_embeddings": 400}),
    "smollm3": ("smollm3", (128, 160, 5, 4, 2, 32), True, {}),
    "smollm3-yarn": ("smollm3", (96, 128, 8, 4, 1, 24), False, {
        "rope_parameters": _yarn(4, 64)}),
    "ministral3": ("ministral3", (96, 128, 2, 4, 2, 32), False, {
        "rope_parameters": _yarn(16, 64, **_TEMPERED)}),
    "ministral3-tied": ("ministral3", (128, 128, 3, 8, 2, 16), True, {
        "rope_parameters": _yarn(4, 16, **_TEMPERED, beta_fast=32.0, beta_slow=1.0)}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_logits_and_greedy_ids(name: str, checkpoints: Path) -> None:
    check_answers(checkpoints / name)
