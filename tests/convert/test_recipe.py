"""Types per tensor: those that llama.cpp's quantizer chose, and what is chosen otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from halfbyte.converting.recipe import RECIPES, check_type
from halfbyte.errors import RequestError
from halfbyte.families.config import ModelConfig, RopeConfig

GOLDEN = json.loads(
    (Path(__file__).resolve().parents[1] / "data" / "golden_recipes.json").read_text("utf-8")
)


def model_of(n_layers: int, n_heads: int, n_kv_heads: int, tied: bool) -> ModelConfig:
    return ModelConfig(
        architecture="llama", name="", dim=512, hidden_dim=512, n_layers=n_layers,
        n_heads=n_heads, n_kv_heads=n_kv_heads, head_dim=64, vocab_size=32000, n_ctx_train=2048,
        norm_eps=1e-5, rope=RopeConfig(1e4), tied=tied,
    )  # fmt: skip


CASES = [(shape, kind) for shape, case in GOLDEN.items() for kind in case["types"]]


@pytest.mark.parametrize(("shape", "kind"), CASES)
def test_types_are_those_of_llama_cpp(
    shape: str, kind: str, benchmark_module: Callable[[str], ModuleType]
) -> None:
    golden = benchmark_module("make_recipe_golden")
    n_layers, heads, kv_heads, tied, dim = GOLDEN[shape]["shape"]
    model, recipe = model_of(n_layers, heads, kv_heads, tied), RECIPES[kind]
    assert recipe.file_type == golden.FILE_TYPES[kind]
    for name, theirs in zip(
        golden.names(n_layers, tied), GOLDEN[shape]["types"][kind].split(), strict=True
    ):
        chosen = recipe.choose(name, (32, dim), model, pure=False).name
        if "iq4" not in kind:  # rows that do not fit, in versions before this did
            theirs = theirs.replace("IQ4_NL", "Q4_0")
        assert chosen == theirs, name


@pytest.mark.parametrize("kind", RECIPES)
def test_pure_gives_all_matrices_one_type(kind: str) -> None:
    recipe, model = RECIPES[kind], model_of(32, 8, 8, False)
    for name in ("token_embd.weight", "blk.0.attn_v.weight", "blk.31.ffn_down.weight",
                 "output.weight"):  # fmt: skip
        assert recipe.choose(name, (32, 512), model, pure=True) is recipe.usual
    assert recipe.choose("output_norm.weight", (512,), model, pure=True).name == "F32"


@pytest.mark.parametrize(("kind", "n", "chosen"), [
    ("q4_k_m", 96, "Q5_0"), ("q6_k", 96, "Q8_0"), ("q2_k", 96, "Q4_0"), ("q4_0", 100, "F16"),
    ("q5_k_s", 100, "F16"), ("f32", 100, "F32"), ("bf16", 100, "BF16"),
])  # fmt: skip
def test_rows_that_do_not_fit(kind: str, n: int, chosen: str) -> None:
    model = model_of(8, 8, 8, False)
    assert RECIPES[kind].choose("blk.1.attn_q.weight", (4, n), model, pure=True).name == chosen


@pytest.mark.parametrize("name", ["q4", "", None, 4])
def test_an_unknown_type(name: object) -> None:
    with pytest.raises(RequestError, match="q4_k_m"):
        check_type(name)
