"""Which tensors of a file a model does without: not those that contradict its layers."""

from __future__ import annotations

from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.families.left_out import left_out
from halfbyte.families.registry import FAMILIES
from halfbyte.families.short_conv_config import ShortConv

NAMES = ("blk.0.attn_k.weight", "blk.1.attn_k.weight", "blk.2.nextn.eh_proj.weight")


def test_keys_of_a_layer_that_has_none_are_not_left_out() -> None:
    config = ModelConfig(
        "lfm2", "x", 64, 96, 2, 4, 2, 16, 323, 512, 1e-5, RopeConfig(1e4),
        recurrent=ShortConv(64, 3, bias=False), recurrent_layers=(True, False),
    )  # fmt: skip
    assert left_out(NAMES, "x", FAMILIES["lfm2"], config) == frozenset()


def test_layers_that_guess_are_left_out_where_the_family_may_have_them() -> None:
    family = FAMILIES["ernie4_5-moe"]
    config = ModelConfig(
        family.architecture, "x", 64, 96, 2, 4, 2, 16, 323, 512, 1e-5, RopeConfig(1e4)
    )
    assert left_out(NAMES, "x", family, config) == {NAMES[2]}
