"""Short convolutions: the recurrent layers of LFM2, as stages and as tensors.

Of a row n = RMSNorm(x) a matrix makes [B, C, x] of `dim` features each. What is folded is u = B x:

    x += out_proj(C * (sum over j of taps[:, j] u[t - n_taps + 1 + j] + bias))

so a layer's state is the last n_taps - 1 rows of u, zeros before a text's beginning.
Source: transformers' Lfm2ShortConv; tensor names are GGUF's.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.short_conv_config import ShortConv
from halfbyte.families.stages import Norm, Project, Stage
from halfbyte.families.states import RecurrentStage
from halfbyte.families.tensors import TensorSpec
from halfbyte.lazy_dataclass import dataclass

IN, CONV, OUT = "shortconv.in_proj", "shortconv.conv", "shortconv.out_proj"


@dataclass(frozen=True, slots=True)
class Convolve(RecurrentStage):
    """mixed = C * (the convolution of B x), of `bcx`."""

    bias: bool = False

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return tuple((CONV, kind) for kind in (("weight", "bias") if self.bias else ("weight",)))


def convolution(c: ModelConfig, i: int) -> Iterator[Stage]:
    """What a layer has in the place of attention."""
    bias = short_conv_of(c).bias
    yield Norm("attn_norm", layer=i)
    yield Project((IN,), "normed", "bcx", bias=bias, layer=i)
    yield Convolve(bias, layer=i)
    yield blocks.joined(c, i, OUT, "mixed", bias=bias)


def convolution_tensors(c: ModelConfig, i: int, hf: str = "conv") -> Iterator[TensorSpec]:
    """What it takes but for the norm, behind `model.layers.i.` and the name `hf`."""
    s, at, hf = short_conv_of(c), f"blk.{i}.", f"model.layers.{i}.{hf}."
    yield from blocks.linear_tensors(at + IN, f"{hf}in_proj", (3 * c.dim, c.dim), bias=s.bias)
    shape = (s.conv_width, s.n_taps)
    yield TensorSpec(f"{at}{CONV}.weight", f"{hf}conv.weight", shape, is_taps=True)
    if s.bias:
        yield TensorSpec(f"{at}{CONV}.bias", f"{hf}conv.bias", shape[:1])
    yield from blocks.linear_tensors(at + OUT, f"{hf}out_proj", (c.dim, c.dim), bias=s.bias)


def short_conv_of(c: ModelConfig) -> ShortConv:
    """The configuration of a model that has them."""
    if not isinstance(c.recurrent, ShortConv):
        raise TypeError(f"{c.architecture}: a model without short convolutions")
    return c.recurrent
