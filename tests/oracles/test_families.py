"""Families against transformers and torch in float32: several sizes and options of each.

Contexts are longer than windows, and than what positions were stretched from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.engine.engine import Span
from tests.oracles.transformers_answers import check_answers

pytestmark = pytest.mark.oracle

N_IDS = 200


def _by_layer(whole: dict[str, Any], local: float = 5e5) -> dict[str, Any]:
    """OLMo 3's: another rope for layers with a window."""
    whole = {"rope_type": "default", "rope_theta": 5e5, **whole}
    return {"rope_parameters": {
        "full_attention": whole,
        "sliding_attention": {"rope_type": "default", "rope_theta": local},
    }}  # fmt: skip


_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 48}
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
_LLAMA3 = {"rope_parameters": {
    "rope_type": "llama3", "rope_theta": 1e5, "factor": 4.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}  # fmt: skip
_SCALES = {"embedding_multiplier": 4.0, "residual_multiplier": 0.4, "logits_scaling": 3.0,
           "attention_multiplier": 0.2}  # fmt: skip
_HALF = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e5,
                             "partial_rotary_factor": 0.5}}  # fmt: skip


def _ernie(n: int, used: int, width: int, shared: int, **more: int) -> dict[str, Any]:
    return {"moe_num_experts": n, "moe_k": used, "moe_intermediate_size": width,
            "moe_num_shared_experts": shared, **_ROPE, **more}  # fmt: skip


def _glm(n: int, used: int, width: int, **more: object) -> dict[str, Any]:
    return {"n_routed_experts": n, "num_experts_per_tok": used, "moe_intermediate_size": width,
            "num_nextn_predict_layers": 0, **_HALF, **more}  # fmt: skip


def _qwen(step: int, dense: list[int], **more: object) -> dict[str, Any]:
    return {"decoder_sparse_step": step, "mlp_only_layers": dense, "num_experts": 6,
            "num_experts_per_tok": 2, "moe_intermediate_size": 48, **more}  # fmt: skip


def _gemma4(window: int, d: int, types: str, **more: object) -> dict[str, Any]:
    """Layers by their first letters, and the size of heads where there is no window."""
    kinds = {"s": "sliding_attention", "f": "full_attention"}
    ropes = {"sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
             "full_attention": {"rope_type": "proportional", "rope_theta": 1e5,
                                "partial_rotary_factor": 0.25}}  # fmt: skip
    return {
        "sliding_window": window, "global_head_dim": d, "hidden_size_per_layer_input": 0,
        "layer_types": [kinds[one] for one in types], "rope_parameters": ropes, **more,
    }  # fmt: skip


_SAME = {"attention_k_eq_v": True, "final_logit_softcapping": 5.0}
_OWN = {"hidden_size_per_layer_input": 32, "vocab_size_per_layer_input": 323}

# name: (model_type, (dim, hidden, layers, heads, kv heads, head_dim), tied, options)
CASES: dict[str, tuple[str, tuple[int, ...], bool, dict[str, Any]]] = {
    "olmo3": ("olmo3", (128, 160, 4, 4, 4, 32), False, {"sliding_window": 40, **_by_layer({})}),
    "olmo3-yarn": ("olmo3", (96, 128, 5, 6, 2, 16), False, {
        "sliding_window": 24, **_by_layer(_YARN)}),
    "olmo3-types": ("olmo3", (64, 96, 3, 2, 1, 32), True, {
        "sliding_window": 50, "layer_types": [
            "full_attention", "sliding_attention", "full_attention"],
        **_by_layer({**_YARN, "attention_factor": 1.4, "beta_fast": 16.0})}),
    "olmo3-bases": ("olmo3", (64, 96, 4, 4, 2, 16), False, {
        "sliding_window": 30, **_by_layer({"rope_theta": 1e6}, 1e4)}),
    "exaone4": ("exaone4", (128, 160, 4, 4, 4, 32), False, {"sliding_window": 40, **_ROPE}),
    "exaone4-llama3": ("exaone4", (96, 128, 6, 6, 2, 16), True, {
        "sliding_window": 24, "sliding_window_pattern": 3, **_LLAMA3}),
    "exaone4-types": ("exaone4", (64, 96, 3, 2, 1, 48), False, {
        "sliding_window": 50, "head_dim": 48, "layer_types": [
            "full_attention", "sliding_attention", "full_attention"], **_LLAMA3}),
    "exaone4-nowhere": ("exaone4", (64, 96, 2, 4, 2, 16), False, {
        "layer_types": ["full_attention"] * 2, **_ROPE}),
    "exaone4-small": ("exaone4", (96, 160, 3, 4, 1, 24), True, {
        "sliding_window": None, "layer_types": ["full_attention"] * 3, **_LLAMA3}),
    "cohere2": ("cohere2", (128, 160, 4, 4, 4, 32), True, {
        "sliding_window": 40, "logit_scale": 0.25, **_ROPE}),
    "cohere2-pattern": ("cohere2", (96, 128, 6, 6, 2, 16), True, {
        "sliding_window": 24, "sliding_window_pattern": 3, "logit_scale": 2.0, **_LLAMA3}),
    "cohere2-types": ("cohere2", (64, 96, 3, 2, 1, 32), False, {
        "sliding_window": 50, "layer_types": [
            "full_attention", "sliding_attention", "full_attention"], **_ROPE}),
    "granitemoe": ("granitemoe", (96, 64, 2, 4, 2, 24), True, {
        "num_local_experts": 8, "num_experts_per_tok": 2, **_SCALES, **_ROPE}),
    "granitemoe-many": ("granitemoe", (64, 32, 2, 4, 4, 16), False, {
        "num_local_experts": 40, "num_experts_per_tok": 4, "attention_bias": True, **_ROPE}),
    "granitemoe-one": ("granitemoe", (64, 48, 2, 4, 1, 32), True, {
        "num_local_experts": 3, "num_experts_per_tok": 1, **_SCALES, **_ROPE}),
    "granitemoeshared": ("granitemoeshared", (96, 64, 2, 6, 2, 16), True, {
        "num_local_experts": 5, "num_experts_per_tok": 3, "shared_intermediate_size": 160,
        **_SCALES, **_ROPE}),
    "granitemoeshared-none": ("granitemoeshared", (64, 64, 2, 2, 2, 32), False, {
        "num_local_experts": 4, "num_experts_per_tok": 4, "shared_intermediate_size": 0,
        **_SCALES, **_ROPE}),
    "ernie": ("ernie4_5_moe", (96, 128, 3, 4, 2, 24), True, _ernie(8, 3, 32, 2)),
    "ernie-none-shared": ("ernie4_5_moe", (64, 96, 2, 4, 1, 16), False, _ernie(
        6, 6, 48, 0, moe_layer_start_index=0)),
    "ernie-some-layers": ("ernie4_5_moe", (64, 96, 6, 4, 4, 16), True, _ernie(
        5, 1, 32, 1, moe_layer_start_index=1, moe_layer_end_index=3, moe_layer_interval=2)),
    "glm": ("glm4_moe", (96, 128, 3, 4, 2, 32), False, _glm(
        8, 3, 32, attention_bias=True, use_qk_norm=True)),
    "glm-air": ("glm4_moe", (64, 96, 2, 6, 1, 16), False, _glm(
        6, 2, 48, attention_bias=True, routed_scaling_factor=1.5)),
    "glm-groups": ("glm4_moe", (64, 96, 4, 4, 2, 24), True, _glm(
        12, 4, 32, n_group=4, topk_group=2, n_shared_experts=2, first_k_dense_replace=2)),
    "glm-unnormed": ("glm4_moe", (64, 96, 2, 4, 4, 16), False, _glm(
        4, 2, 32, norm_topk_prob=False, first_k_dense_replace=0)),
    "gemma4": ("gemma4_text", (96, 160, 6, 4, 2, 32), True, _gemma4(
        40, 64, "sssssf", num_global_key_value_heads=1, **_SAME)),
    "gemma4-unified": ("gemma4_unified_text", (64, 96, 4, 6, 3, 16), False, _gemma4(
        24, 48, "fssf", num_global_key_value_heads=2, attention_k_eq_v=True)),
    "gemma4-experts": ("gemma4_text", (64, 96, 3, 4, 4, 16), True, _gemma4(
        30, 32, "sff", num_global_key_value_heads=2, enable_moe_block=True, num_experts=8,
        top_k_experts=3, moe_intermediate_size=32, **_SAME)),
    "gemma4-one-expert": ("gemma4_text", (96, 64, 2, 2, 1, 32), True, _gemma4(
        50, 64, "sf", enable_moe_block=True, num_experts=5, top_k_experts=1,
        moe_intermediate_size=64)),
    "gemma4-e": ("gemma4_text", (64, 96, 7, 4, 1, 32), True, _gemma4(
        40, 64, "sfsffsf", num_kv_shared_layers=3, use_double_wide_mlp=True, **_OWN,
        final_logit_softcapping=5.0)),
    "gemma4-own": ("gemma4_text", (96, 128, 3, 4, 2, 16), True, _gemma4(24, 16, "ssf", **_OWN)),
    "gemma4-shared": ("gemma4_text", (64, 96, 5, 2, 2, 32), True, _gemma4(
        30, 64, "fssff", num_kv_shared_layers=1, **_OWN)),
    "apertus": ("apertus", (96, 160, 2, 4, 2, 24), False, {}),
    "apertus-wide": ("apertus", (64, 320, 3, 2, 2, 32), False, {
        "attention_bias": True, **_LLAMA3}),
    "qwen3-moe-dense": ("qwen3_moe", (96, 128, 4, 4, 2, 24), True, _qwen(
        1, [0, 2], norm_topk_prob=True)),
    "qwen3-moe-steps": ("qwen3_moe", (64, 96, 5, 4, 4, 16), False, _qwen(
        2, [3], norm_topk_prob=False)),
    "qwen2-moe-steps": ("qwen2_moe", (64, 96, 4, 4, 2, 16), False, _qwen(
        2, [], shared_expert_intermediate_size=64)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_logits_and_greedy_ids(name: str, checkpoints: Path) -> None:
    check_answers(checkpoints / name)


@pytest.mark.parametrize("name", ["gemma4", "gemma4-experts", "gemma4-e"])
def test_coded_caches_of_layers_that_differ(name: str, checkpoints: Path) -> None:
    """The same bits for any chunks and threads, near what floats give."""
    path = (checkpoints / name).with_suffix(".coded.gguf")
    halfbyte.convert(checkpoints / name, path, type="f32", measure=False)
    with np.load(checkpoints / name / "expected.npz") as answers:
        ids, expected = answers["ids"].tolist(), answers["logits"]
    for kv_type, limit in (("int8", 0.05), ("int4", 0.4)):
        found = []
        for threads, chunks in ((1, [200]), (2, [130, 1, 69]), (2, [100, 95, *[1] * 5])):
            with halfbyte.load(path, threads=threads, kv_type=kv_type) as model:
                sequence, at, rows = model.engine.new_sequence(), 0, []
                for n in chunks:
                    span = Span(sequence, ids[at : at + n], n)
                    rows.append(model.engine.forward([span]))
                    at += n
                found.append(np.concatenate(rows))
        assert (found[0] == found[1]).all() and (found[0] == found[2]).all()
        distance = np.abs(found[0] - expected).max(-1) / np.abs(expected).max()
        assert 0 < np.median(distance) < limit
