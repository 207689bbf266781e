"""Tables that must agree: recipes with formats, commands with recipes, families with answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from halfbyte.cli import main
from halfbyte.converting.recipe import KEEP, RECIPES
from halfbyte.families import registry
from halfbyte.families.config import ExpertsConfig, ModelConfig, RopeConfig
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.layer_sizes import LayerSizes
from halfbyte.families.mamba2_config import Mamba2
from halfbyte.families.registry import BY_MODEL_TYPE, FAMILIES
from halfbyte.families.short_conv_config import ShortConv
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import FORMATS

_SHORT = dict.fromkeys(("lfm2", "lfm2moe"), ShortConv(64, 3, bias=True))
_NETS = {
    name: DeltaNet(2, 4, 16, 32, 4, is_tiled=name != "qwen3next")
    for name in ("qwen3next", "qwen35", "qwen35moe")
}
_MAMBA = dict.fromkeys(("granitehybrid", "nemotron_h", "nemotron_h_moe"), Mamba2(4, 16, 8, 2, 4))
RECURRENT = {**_SHORT, **_NETS, **_MAMBA}
GOLDEN = (
    "llama", "positions", "dense", "experts", "families", "latents", "recurrent", "mamba", "nets",
    "sizes",
)  # fmt: skip
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


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
    assert re.split(", | or ", found[1]) == [*RECIPES, KEEP], (
        "the help of convert --type is outdated"
    )
    assert found[2] in RECIPES


def test_every_family_has_answers_of_transformers(
    benchmark_module: Callable[[str], ModuleType],
) -> None:
    """Which the compiled step, the float model and the float64 twin are compared with."""
    tiny_llama = benchmark_module("tiny_llama")
    specs = []
    for name in GOLDEN:
        with np.load(Path(__file__).parents[1] / "data" / f"golden_{name}.npz") as data:
            specs += [json.loads(str(data[one])) for one in data if one.endswith(".spec")]
    types = {tiny_llama.config(tiny_llama.Tiny(**spec))["model_type"] for spec in specs}
    made = (config_from_hf(Path("x"), tiny_llama.config(tiny_llama.Tiny(**spec))) for spec in specs)
    assert {config.architecture for config in made} == set(FAMILIES)
    assert types == set(BY_MODEL_TYPE), "a case in benchmarks/make_golden.py for each model_type"


def test_every_file_of_a_family_is_in_the_registry() -> None:
    def plain(names: Iterable[str]) -> list[str]:
        return sorted(re.sub("[-_]", "", name) for name in names)

    files = Path(registry.__file__).parent.glob("*.py")
    families = [path.stem for path in files if "\nFAMILY = " in path.read_text("utf-8")]
    assert plain(families) == plain(FAMILIES)
    assert all(FAMILIES[name].architecture == name for name in FAMILIES)


@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_family_names_each_tensor_once_and_uses_it(architecture: str) -> None:
    config = ModelConfig(
        architecture=architecture, name="", dim=64, hidden_dim=96, n_layers=2, n_heads=4,
        n_kv_heads=2, head_dim=16, vocab_size=300, n_ctx_train=64, norm_eps=1e-5,
        rope=RopeConfig(1e4),
    )  # fmt: skip
    family = FAMILIES[architecture]
    if family.experts is not None:
        config = replace(config, experts=ExpertsConfig(4, 2, 64, 1, 32))
    if family.has_latents:
        config = replace(config, latent=LatentConfig(16, 32, 8, 8, 16))
    if family.has_sizes:
        sizes = LayerSizes((16, 32, 16, 32), (2, 1, 2, 1), (96,) * 4, 2, (False,) * 4)
        config = replace(config, n_layers=4, sizes=sizes, sliding_window=9, per_layer_dim=32,
                         sliding_layers=(True, False) * 2)  # fmt: skip
    if family.recurrent is not None:
        sizes = RECURRENT[architecture]
        config = replace(config, recurrent=sizes, recurrent_layers=(True, False))
    specs = list(family.tensors(config))
    assert len({spec.name for spec in specs}) == len({spec.hf_name for spec in specs}) == len(specs)
    used = set()
    for stage in family.stages(config):
        used |= {stage.tensor(name, kind) for name, kind in stage.tensors}
    others = {spec.name for spec in specs if spec.may_lack or spec.in_file}
    assert used - others == {spec.name for spec in specs} - others
