"""Rows of buffers have room for what is copied into them."""

from __future__ import annotations

from dataclasses import replace

from halfbyte.engine import buffers
from halfbyte.families.config import ExpertsConfig, ModelConfig, RopeConfig
from halfbyte.families.latent_config import LatentConfig

EXPERTS = ExpertsConfig(8, 2, 32, 0, 0)
CONFIG = ModelConfig("deepseek2", "", 64, 96, 2, 4, 1, 48, 323, 512, 1e-6, RopeConfig(1e4),
                     experts=EXPERTS, latent=LatentConfig(512, 32, 16, 16, 16))  # fmt: skip


def test_inputs_of_experts_are_as_far_apart_as_the_normed_rows_that_they_are() -> None:
    """Which are wider than the model where queries are compressed to more."""
    for rank in (512, 32):
        assert CONFIG.latent is not None
        strides = buffers._strides(replace(CONFIG, latent=replace(CONFIG.latent, q_lora_rank=rank)))
        assert strides["gathered_floats"] == EXPERTS.n_used * strides["normed"]
        assert strides["normed"] == 4 * max(rank, 64)
