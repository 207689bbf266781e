"""Tables that must agree: formats with GGUF's sizes, recipes with formats, commands with both."""

from __future__ import annotations

import re

import gguf
import pytest

from halfbyte.cli import main
from halfbyte.converting.recipe import RECIPES
from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.kernels.formats.block_format import BY_GGML_ID, FORMATS, BlockFormat

MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_that_of_gguf(name: str) -> None:
    own, theirs = FORMATS[name], gguf.GGMLQuantizationType[name]
    assert (own.name, own.ggml_id) == (name, theirs.value)
    assert (own.block_size, own.block_nbytes) == gguf.GGML_QUANT_SIZES[theirs]


def test_formats_are_registered_once() -> None:
    assert list(BY_GGML_ID.values()) == list(FORMATS.values())
    assert all(own.ggml_id == ggml_id for ggml_id, own in BY_GGML_ID.items())


@pytest.mark.parametrize("kind", RECIPES)
@pytest.mark.parametrize(("n_layers", "n_kv_heads", "tied"), [(32, 64, True), (80, 8, False)])
def test_a_recipe_names_formats_that_exist(
    kind: str, n_layers: int, n_kv_heads: int, tied: bool
) -> None:
    """Of every matrix in every layer, with rows of any width."""
    model = ModelConfig(
        architecture="llama", name="", dim=512, hidden_dim=512, n_layers=n_layers, n_heads=64,
        n_kv_heads=n_kv_heads, head_dim=64, vocab_size=32000, n_ctx_train=2048, norm_eps=1e-5,
        rope=RopeConfig(1e4), tied=tied,
    )  # fmt: skip
    names = ["token_embd.weight", "output.weight"]
    names += [f"blk.{i}.{m}.weight" for i in range(n_layers) for m in MATRICES]
    for name in names:
        for width in (256, 32, 1):
            chosen = RECIPES[kind].choose(name, (1, width), model, pure=False)
            assert isinstance(chosen, BlockFormat) and FORMATS[chosen.name] is chosen


def test_the_command_line_lists_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["convert", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    found = re.search(r"--type TYPE (.*?) \(default: (\w+)\)", text)
    assert found is not None
    assert re.split(", | or ", found[1]) == list(RECIPES), "the help of convert --type is outdated"
    assert found[2] in RECIPES
