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
    "gpt_oss_gqa64": (128, 96, 3, 8, 1, 64, 331, 1.5e5, False, "bfloat16", None),
    "gpt_oss_yarn": (96, 128, 4, 4, 2, 32, 320, 1.5e5, False, "float32", "300KB"),
    "gpt_oss_tied": (64, 64, 2, 4, 4, 16, 323, 1e4, True, "float32", None),
    "mellum": (128, 160, 4, 4, 2, 32, 323, 5e5, False, "float32", None),
    "mellum_bf16": (96, 160, 3, 6, 3, 32, 331, 5e5, True, "bfloat16", None),
    "laguna": (128, 160, 5, 8, 2, 32, 323, 5e5, False, "float32", "300KB"),
    "laguna_bf16": (96, 128, 3, 4, 1, 64, 331, 5e5, True, "bfloat16", None),
    "qwen3_gqa48": (128, 160, 2, 4, 2, 48, 323, 1e6, True, "bfloat16", None),
}
# Keys of config.json that a name has of its own.
_SLIDES = {"sliding_window": 40, "swiglu_limit": 7.0}
OPTIONS: dict[str, dict[str, object]] = {
    "gpt_oss_gqa64": _SLIDES,
    "gpt_oss_tied": _SLIDES,
    "gpt_oss_yarn": _SLIDES | {
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 1.5e5, "factor": 32.0,
                            "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
                            "original_max_position_embeddings": 64},
    },
}  # fmt: skip
# What Mellum and Laguna state, whose layers differ.
BY_LAYER = {"layer_types", "mlp_layer_types", "num_attention_heads_per_layer", "rope_parameters",
            "sliding_window"}  # fmt: skip


def _kind(name: str) -> str:
    kinds = (
        "mellum", "laguna", "gpt_oss", "qwen3_moe", "qwen2_moe", "mixtral", "qwen2", "qwen3",
    )  # fmt: skip
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
        options = OPTIONS.get(name, {})
        if tiny.kind in ("mellum", "laguna"):
            stated = tiny_llama.config(tiny)
            options = {key: stated[key] for key in BY_LAYER & stated.keys()}
        more = {"dtype": shape[9], "shard": shape[10], "options": options}
        specs.append(asdict(tiny) | more)
    return make_checkpoints(specs, out, torch_python, tiny_llama)


@pytest.mark.parametrize("name", SHAPES)
def test_logits_and_greedy_ids(name: str, checkpoints: Path) -> None:
    check_answers(checkpoints / name)


def test_a_sharded_checkpoint_really_is(checkpoints: Path) -> None:
    assert len(list((checkpoints / "gqa32_sharded").glob("model-*.safetensors"))) > 1
