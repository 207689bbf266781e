"""Mamba-2 (arXiv:2405.21060): the recurrent layers of Granite 4 and Nemotron-H, as stages and
tensors.

    [z, x, B, C, dt] = ssm_in n                 n = RMSNorm(x)
    x, B, C = SiLU(ssm_conv1d over the last n_taps rows of each channel + bias)
    h = exp(dt ssm_a) h + B (dt x)^T            of each head, dt = softplus(dt + ssm_dt)
    x += ssm_out(RMSNorm by groups((C h + ssm_d x) * SiLU(z)))

Sources: transformers' classes, llama.cpp's src/models/mamba-base.cpp; tensor names are GGUF's.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.mamba2_config import Mamba2
from halfbyte.families.stages import Norm, Project, Stage
from halfbyte.families.states import RecurrentStage
from halfbyte.families.tensors import TensorSpec
from halfbyte.lazy_dataclass import dataclass

IN, CONV, OUT = "ssm_in", "ssm_conv1d", "ssm_out"
A, D, DT, NORM = "ssm_a", "ssm_d", "ssm_dt", "ssm_norm"


@dataclass(frozen=True, slots=True)
class Scan(RecurrentStage):
    """mixed = (C h + D x) * SiLU(z), of `zxbcdt`, h being the state."""

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return ((CONV, "weight"), (CONV, "bias"), (DT, "bias"), (A, ""), (D, ""))


@dataclass(frozen=True, slots=True)
class GroupNorms(Stage):
    """mixed = RMSNorm(mixed) * weight, each group of n_groups for itself."""

    weight: str = NORM

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return ((self.weight, "weight"),)


def mixer(c: ModelConfig, i: int) -> Iterator[Stage]:
    """What a layer has in the place of attention."""
    yield Norm("attn_norm", layer=i)
    yield Project((IN,), "normed", "zxbcdt", layer=i)
    yield Scan(layer=i)
    yield GroupNorms(layer=i)
    yield blocks.joined(c, i, OUT, "mixed", bias=False)


def mixer_tensors(c: ModelConfig, i: int, hf: str) -> Iterator[TensorSpec]:
    """What it takes but for the norm before it; `hf`: what a checkpoint calls the mixer."""
    m, at = mamba2_of(c), f"blk.{i}."
    yield TensorSpec(f"{at}{IN}.weight", f"{hf}.in_proj.weight", (m.projected_dim, c.dim))
    taps = (m.conv_width, m.n_taps)
    yield TensorSpec(f"{at}{CONV}.weight", f"{hf}.conv1d.weight", taps, is_taps=True)
    yield TensorSpec(f"{at}{CONV}.bias", f"{hf}.conv1d.bias", taps[:1])
    heads, column = (m.n_heads,), (m.n_heads, 1)
    yield TensorSpec(f"{at}{DT}.bias", f"{hf}.dt_bias", heads)
    yield TensorSpec(f"{at}{A}", f"{hf}.A_log", heads, stored=column)
    yield TensorSpec(f"{at}{D}", f"{hf}.D", heads, stored=column)
    groups = (m.n_groups, m.output_dim // m.n_groups)
    name, width = f"{at}{NORM}.weight", (m.output_dim,)
    yield TensorSpec(name, f"{hf}.norm.weight", width, stored=groups)
    yield TensorSpec(f"{at}{OUT}.weight", f"{hf}.out_proj.weight", (c.dim, m.output_dim))


def mamba2_of(c: ModelConfig) -> Mamba2:
    """The configuration of a model that has such layers."""
    if not isinstance(c.recurrent, Mamba2):
        raise TypeError(f"{c.architecture}: a model without Mamba-2's layers")
    return c.recurrent
