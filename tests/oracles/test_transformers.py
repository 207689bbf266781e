"""Logits and greedy ids of random checkpoints, against transformers + torch in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest

from tests.oracles.transformers_answers import check_answers, make_checkpoints

pytestmark = pytest.mark.oracle

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
    "qwen3_gqa48": (128, 160, 2, 4, 2, 48, 323, 1e6, True, "bfloat16", None),
}


def _kind(name: str) -> str:
    kinds = ("qwen3_moe", "qwen2_moe", "mixtral", "qwen2", "qwen3")
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
    specs = [
        asdict(tiny_llama.Tiny(name, i, *shape[:9], kind=_kind(name)))
        | {"dtype": shape[9], "shard": shape[10]}
        for i, (name, shape) in enumerate(SHAPES.items())
    ]
    return make_checkpoints(specs, out, torch_python, tiny_llama)


@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_greedy_ids(name: str, checkpoints: Path) -> None:
    check_answers(checkpoints / name)


def test_a_sharded_checkpoint_really_is(checkpoints: Path) -> None:
    assert len(list((checkpoints / "gqa32_sharded").glob("model-*.safetensors"))) > 1
