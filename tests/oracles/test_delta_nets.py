"""Gated delta nets against transformers and torch in float32: sizes, heads and orders of layers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest

import halfbyte
from tests.oracles.llama_cpp_answers import words
from tests.oracles.transformers_answers import check_answers

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
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


@pytest.mark.parametrize("kind", ["qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"])
def test_a_file_of_llama_cpps_converter_is_the_same_model(
    kind: str, torch_python: Path, llama_cpp_sources: Path,
    benchmark_module: Callable[[str], ModuleType], tmp_path: Path,
) -> None:  # fmt: skip
    tiny_llama, folder = benchmark_module("tiny_llama"), tmp_path / "hf"
    tiny = tiny_llama.Tiny("t", 5, 128, 160, 4, 4, 2, 32, 331, 1e6, tied=False, kind=kind)
    tiny_llama.save(tiny, folder)
    theirs, ours = tmp_path / "theirs.gguf", tmp_path / "ours.gguf"
    script, path = ROOT / "benchmarks" / "llama_cpp_converter.py", llama_cpp_sources
    subprocess.run(
        [torch_python, "-P", script, folder, theirs], check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{path / 'gguf-py'}"},
    )  # fmt: skip
    halfbyte.convert(folder, ours, type="f32", measure=False)
    ids = words(99)
    with halfbyte.load(theirs, threads=2) as a, halfbyte.load(ours, threads=2) as b:
        assert a.config == replace(b.config, name=a.config.name)
        assert np.abs(a.logits(ids) - b.logits(ids)).max() < 1e-3
    made, wanted = ({t.name: t.data for t in gguf.GGUFReader(p).tensors} for p in (ours, theirs))
    assert set(made) == set(wanted)
    for name, values in wanted.items():  # each has its own e ** x of decays
        np.testing.assert_allclose(made[name], values, rtol=1e-6 * name.endswith("ssm_a"))
