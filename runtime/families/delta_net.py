"""Gated delta nets and the gated attention between them, as stages and as tensors: Qwen3-Next's.

A recurrent layer's matrices give [q, k, v], gates z and two numbers b, a for each value head; what
becomes of them is said in kernels/stages/delta_net.py. Layers of attention have a query projection
with a gate behind each head's query: what attention gives is multiplied by its sigmoid.
Sources: arXiv:2412.06464, transformers' Qwen3NextGatedDeltaNet and Qwen3NextAttention; tensor names
are GGUF's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.heads import GATE
from halfbyte.families.stages import (
    FUSED_QKV,
    QKV,
    QUERY_GATE,
    Attend,
    GateAttended,
    Norm,
    Project,
    Rope,
    Stage,
)
from halfbyte.families.states import RecurrentStage
from halfbyte.families.tensors import TensorSpec
from halfbyte.lazy_dataclass import dataclass

CONV, DECAY, DT, NORM, OUT = "ssm_conv1d", "ssm_a", "ssm_dt", "ssm_norm", "ssm_out"
BETA, ALPHA, BETA_ALPHA, FUSED = "ssm_beta", "ssm_alpha", "ssm_ba", "ssm_in"


@dataclass(frozen=True, slots=True)
class DeltaRule(RecurrentStage):
    """mixed = what gated delta nets give of `qkvz`."""

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return ((CONV, "weight"), (DECAY, ""), (DT, "bias"), (NORM, "weight"))


def delta_net(c: ModelConfig, i: int) -> Iterator[Stage]:
    """x += ssm_out(what each value head gives), of n = RMSNorm(x)."""
    d = delta_net_of(c)
    gates = (BETA, ALPHA) if d.is_tiled else (BETA_ALPHA,)
    yield Norm("attn_norm", layer=i)
    whole = (FUSED, *gates) if d.is_fused else (FUSED_QKV, *gates, GATE)
    parts = (FUSED_QKV, *gates, GATE) if d.is_fused else ()
    yield Project(whole, "normed", "qkvz", parts=parts, layer=i)
    yield DeltaRule(layer=i)
    yield blocks.joined(c, i, OUT, "mixed", bias=False)


def attention(c: ModelConfig, i: int) -> Iterator[Stage]:
    """x += attn_output(sigmoid(gate) attention(q, k, v)), of n = RMSNorm(x)."""
    yield Norm("attn_norm", layer=i)
    yield Project(QKV, "normed", "qkv", parts=(*QKV, QUERY_GATE), layer=i)
    yield Rope(norms=True, layer=i)
    yield Attend(layer=i)
    yield GateAttended("sigmoid", "qkv", layer=i)
    yield blocks.joined(c, i, "attn_output", "attended", bias=False)


def attention_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """What `attention` takes."""
    for spec in blocks.attention_tensors(c, i, norms=True):
        if spec.name.endswith("attn_q.weight"):
            names = (f"blk.{i}.{name}.weight" for name in (QKV[0], QUERY_GATE))
            parts = tuple((name, c.q_dim) for name in names)
            shape = (2 * c.q_dim, c.dim)
            d = c.head_dim
            spec = replace(spec, shape=shape, head_dim=d, parts=parts, in_turn=(d, d))
        yield spec


def delta_net_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """What `delta_net` takes; a name with a part is of delta_order.py."""
    d, at, hf = delta_net_of(c), f"blk.{i}.", f"model.layers.{i}."
    hf_net = f"{hf}linear_attn."
    yield from blocks.norm_tensors(f"{at}attn_norm", f"{hf}input_layernorm", c.dim)
    yield from _projections(c, d, at, hf_net)
    n = d.n_value_heads
    taps = (d.conv_width, d.n_taps)
    yield TensorSpec(f"{at}{CONV}.weight", f"{hf_net}conv1d.weight", taps, is_taps=True)
    yield TensorSpec(f"{at}{DECAY}", f"{hf_net}A_log", (n,))
    yield TensorSpec(f"{at}{DT}.bias", f"{hf_net}dt_bias", (n,))
    yield TensorSpec(f"{at}{NORM}.weight", f"{hf_net}norm.weight", (d.value_dim,))
    yield TensorSpec(f"{at}{OUT}.weight", f"{hf_net}out_proj.weight", (c.dim, d.output_dim))


def delta_net_of(c: ModelConfig) -> DeltaNet:
    """The configuration of a model that has them."""
    if not isinstance(c.recurrent, DeltaNet):
        raise TypeError(f"{c.architecture}: a model without gated delta nets")
    return c.recurrent


def _projections(c: ModelConfig, d: DeltaNet, at: str, hf: str) -> Iterator[TensorSpec]:
    n, dim = d.n_value_heads, c.dim
    hf_qkv, hf_z = "in_proj_qkvz.weight[qkv]", "in_proj_qkvz.weight[z]"
    if d.is_tiled:
        hf_qkv, hf_z = "in_proj_qkv.weight", "in_proj_z.weight"
    qkv = TensorSpec(f"{at}{FUSED_QKV}.weight", hf + hf_qkv, (d.conv_width, dim))
    z = TensorSpec(f"{at}{GATE}.weight", hf + hf_z, (d.output_dim, dim))
    if d.is_fused:
        shape = (d.conv_width + d.output_dim, dim)
        parts = tuple((spec.name, spec.shape[0]) for spec in (qkv, z))
        yield TensorSpec(f"{at}{FUSED}.weight", "", shape, parts=parts, in_turn=d.turns)
    else:
        yield from (qkv, z)
    if d.is_tiled:
        yield TensorSpec(f"{at}{BETA}.weight", f"{hf}in_proj_b.weight", (n, dim))
        yield TensorSpec(f"{at}{ALPHA}.weight", f"{hf}in_proj_a.weight", (n, dim))
    else:
        yield TensorSpec(f"{at}{BETA_ALPHA}.weight", f"{hf}in_proj_ba.weight", (2 * n, dim))
