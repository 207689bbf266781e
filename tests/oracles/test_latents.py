"""Compressed keys and values, and DeepSeek's experts, against transformers and torch in float32.

Contexts are longer than the original ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import halfbyte
from tests.oracles.llama_cpp_answers import logits_of, words
from tests.oracles.transformers_answers import check_answers

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
N_IDS = 300


def _yarn(factor: float, mscale: float, **more: object) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": factor,
                                "original_max_position_embeddings": 64, "mscale": mscale,
                                "mscale_all_dim": mscale, **more}}  # fmt: skip


def _heads(rank: int, nope: int, rope: int, value: int, q_rank: int | None) -> dict[str, Any]:
    return {"kv_lora_rank": rank, "qk_nope_head_dim": nope, "qk_rope_head_dim": rope,
            "v_head_dim": value, "q_lora_rank": q_rank, "head_dim": rope}  # fmt: skip


def _experts(n: int, used: int, width: int, shared: int, dense: int) -> dict[str, Any]:
    return {"n_routed_experts": n, "num_experts_per_tok": used, "moe_intermediate_size": width,
            "n_shared_experts": shared, "first_k_dense_replace": dense}  # fmt: skip


def _groups(n: int, used: int, scale: float) -> dict[str, Any]:
    return {"n_group": n, "topk_group": used, "routed_scaling_factor": scale}


_V2_GROUPS = {"topk_method": "group_limited_greedy"}
# name: (model_type, (dim, hidden, layers, heads), tied, options)
_CASES: dict[str, tuple[str, tuple[int, ...], bool, dict[str, Any]]] = {
    "lite": ("deepseek_v2", (128, 160, 3, 4), False, {
        **_heads(64, 32, 16, 32, None), **_experts(8, 3, 48, 2, 1), **_yarn(40, 0.707)}),
    "v2": ("deepseek_v2", (96, 160, 2, 6), False, {
        **_heads(40, 24, 8, 20, 56), **_experts(12, 4, 32, 1, 1), **_groups(4, 2, 16.0),
        **_V2_GROUPS, **_yarn(4, 1.0, beta_fast=16.0)}),
    "v2-dense": ("deepseek_v2", (96, 96, 2, 3), True, {
        **_heads(32, 16, 32, 48, 24), **_experts(4, 2, 32, 1, 2)}),
    "v3-wide-queries": ("deepseek_v3", (64, 96, 2, 4), False, {
        **_heads(32, 16, 16, 16, 200), **_experts(8, 2, 32, 1, 1), **_groups(2, 1, 1.0)}),
    "v3": ("deepseek_v3", (128, 160, 4, 8), False, {
        **_heads(64, 32, 16, 32, 48), **_experts(16, 4, 32, 1, 2), **_groups(4, 2, 2.5),
        "norm_topk_prob": True, **_yarn(40, 1.0)}),
    "v3-no-lora": ("deepseek_v3", (96, 128, 2, 2), False, {
        **_heads(48, 20, 12, 36, None), **_experts(6, 2, 64, 2, 0), **_groups(1, 1, 1.0),
        "norm_topk_prob": False}),
    "v3-no-mscale": ("deepseek_v3", (64, 96, 2, 4), False, {
        **_heads(32, 16, 16, 16, 32), **_experts(8, 2, 32, 1, 1), **_groups(2, 1, 2.0),
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 8.0,
                            "original_max_position_embeddings": 64}}),
    "v3-many-heads": ("deepseek_v3", (64, 96, 1, 80), False, {
        **_heads(16, 16, 16, 16, 64), **_experts(8, 2, 32, 1, 0), **_groups(2, 1, 2.0)}),
    "glm": ("glm4_moe_lite", (128, 160, 3, 5), False, {
        **_heads(64, 48, 16, 64, 96), **_experts(8, 2, 48, 1, 1), **_groups(1, 1, 1.8),
        "rms_norm_eps": 1e-5}),
    "youtu": ("youtu", (96, 128, 3, 4), True, _heads(64, 32, 16, 32, 48)),
}  # fmt: skip
CASES = {  # as many KV heads; what a head_dim would be, others say
    name: (kind, (*shape, shape[3], 16), tied, options)
    for name, (kind, shape, tied, options) in _CASES.items()
}


@pytest.mark.parametrize("name", CASES)
def test_logits_and_greedy_ids(name: str, checkpoints: Path) -> None:
    check_answers(checkpoints / name)


@pytest.mark.parametrize("kind", ["deepseek_v2", "deepseek_v3", "glm4_moe_lite", "youtu"])
def test_llama_cpp_runs_converted_files(
    kind: str, peer_python: Path, benchmark_module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """Of V2 it takes those with 27 layers alone, and groups of experts as V3 has them."""
    tiny_llama, folder = benchmark_module("tiny_llama"), tmp_path / "hf"
    n_layers = 27 if kind == "deepseek_v2" else 3
    tiny = tiny_llama.Tiny(
        "tiny", 5, 128, 160, n_layers, 4, 4, 16, 331, 1e6, tied=kind == "youtu", kind=kind
    )
    tiny_llama.save(tiny, folder)
    if kind == "deepseek_v2":
        stated = json.loads((folder / "config.json").read_text()) | {"topk_method": "greedy"}
        (folder / "config.json").write_text(json.dumps(stated))
        # What layers add is small: a rounding is not to grow through all of them.
        weights = {
            name: values
            * np.float32(0.1 if name.endswith(("o_proj.weight", "down_proj.weight")) else 1)
            for name, values in load_file(folder / "model.safetensors").items()
        }
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    path = tmp_path / "model.gguf"
    halfbyte.convert(folder, path, type="f32", measure=False)
    ids = words(99)
    expected = logits_of(peer_python, path, ids)
    with halfbyte.load(path, threads=2) as model:
        rows = np.abs(model.logits(ids) - expected).max(-1) / np.abs(expected).max()
    print(f"{kind}: {rows.max():.2g}")
    # Both caches have half floats, and each rounds its own way: twice what was measured.
    assert np.quantile(rows, 0.9) < 1e-3
