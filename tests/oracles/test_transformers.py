"""Logits and greedy ids of random checkpoints, against transformers + torch in float32."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import halfbyte

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
# name: (dim, hidden, layers, heads, kv heads, head_dim, vocabulary, theta, tied, dtype, shard);
# of the architecture that the name begins with, else llama.
SHAPES = {
    "mha16": (64, 160, 3, 4, 4, 16, 320, 1e4, False, "float32", None),
    "mha32_tied": (128, 352, 2, 4, 4, 32, 323, 1e6, True, "float32", None),
    "gqa32_sharded": (256, 320, 3, 8, 2, 32, 331, 1e4, False, "float32", "300KB"),
    "gqa64_bf16": (256, 320, 2, 4, 2, 64, 320, 1e6, False, "bfloat16", None),
    "mqa128_tied": (256, 512, 2, 2, 1, 128, 500, 1e6, True, "float16", None),
    "gqa48_wide": (96, 160, 2, 4, 2, 48, 320, 1e4, False, "float32", None),
    "qwen2_gqa32": (128, 160, 2, 4, 2, 32, 323, 1e6, False, "float32", None),
    "qwen3_moe": (128, 160, 2, 4, 2, 48, 320, 1e6, False, "float32", None),
    "qwen3_moe_bf16": (96, 160, 3, 4, 4, 24, 320, 1e6, True, "bfloat16", None),
    "mixtral": (128, 96, 2, 4, 2, 32, 323, 1e6, False, "float32", "300KB"),
    "qwen2_moe": (128, 160, 2, 4, 2, 32, 331, 1e6, False, "float32", None),
    "mellum": (128, 160, 4, 4, 2, 32, 323, 5e5, False, "float32", None),
    "mellum_bf16": (96, 160, 3, 6, 3, 32, 331, 5e5, True, "bfloat16", None),
    "laguna": (128, 160, 5, 8, 2, 32, 323, 5e5, False, "float32", "300KB"),
    "laguna_bf16": (96, 128, 3, 4, 1, 64, 331, 5e5, True, "bfloat16", None),
    "qwen3_gqa48": (128, 160, 2, 4, 2, 48, 323, 1e6, True, "bfloat16", None),
}
# What kinds of models state whose layers differ.
BY_LAYER = {"layer_types", "mlp_layer_types", "num_attention_heads_per_layer", "rope_parameters",
            "sliding_window"}  # fmt: skip
TOLERANCE = {"f32": 1e-4, "f16": 2e-3}


def _kind(name: str) -> str:
    kinds = ("mellum", "laguna", "qwen3_moe", "qwen2_moe", "mixtral", "qwen2", "qwen3")
    return next((kind for kind in kinds if name.startswith(kind)), "llama")


@pytest.fixture(scope="module")
def checkpoints(
    torch_python: Path,
    benchmark_module: Callable[[str], ModuleType],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a checkpoint and its expected.npz for each shape, made by transformers."""
    out = tmp_path_factory.mktemp("transformers")
    tiny_llama = benchmark_module("tiny_llama")
    specs = []
    for i, (name, shape) in enumerate(SHAPES.items()):
        tiny = tiny_llama.Tiny(name, i, *shape[:9], kind=_kind(name))
        stated = tiny_llama.config(tiny)
        options = {key: stated[key] for key in BY_LAYER & stated.keys()}
        spec = {"dtype": shape[9], "shard": shape[10], "options": options}
        specs.append(asdict(tiny) | spec)
    (out / "specs.json").write_text(json.dumps(specs))
    script = ROOT / "benchmarks" / "transformers_peer.py"
    subprocess.run([torch_python, script, out / "specs.json", out], check=True)
    for spec in specs:
        tiny_llama.save_tokenizer(spec["vocab_size"], out / spec["name"])
    return out


@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_greedy_ids(name: str, checkpoints: Path) -> None:
    path = checkpoints / f"{name}.gguf"
    halfbyte.convert(checkpoints / name, path, type="f32", measure=False)
    with np.load(checkpoints / name / "expected.npz") as answers:
        ids, expected, greedy = answers["ids"].tolist(), answers["logits"], answers["greedy"]
    for kv_type, tolerance in TOLERANCE.items():
        with halfbyte.load(path, threads=2, kv_type=kv_type) as model:
            logits = model.logits(ids)
            tokens = model.complete(ids, max_tokens=len(greedy)).tokens
        assert logits.shape == expected.shape
        rows = np.abs(logits - expected).max(-1) / np.abs(expected).max()
        # Rounding may choose another of two experts that are nearly equal: rows of their own.
        distance = np.quantile(rows, 0.9 if model.config.experts and kv_type == "f16" else 1)
        print(f"{name} {kv_type}: {distance:.2g}")
        assert distance < tolerance, kv_type
        if kv_type == "f32":
            # A model may end by itself; transformers was told not to stop.
            assert tokens == greedy[: len(tokens)].tolist()
            assert len(tokens) == len(greedy) or 2 in greedy


def test_a_sharded_checkpoint_really_is(checkpoints: Path) -> None:
    assert len(list((checkpoints / "gqa32_sharded").glob("model-*.safetensors"))) > 1
