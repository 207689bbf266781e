"""Parts of families with experts, as stages and as tensors.

Sources: Shazeer et al., arXiv:1701.06538; Mixtral, arXiv:2401.04088; DeepSeekMoE, arXiv:2401.06066.
Tensor names are GGUF's: an expert's matrix is a slice of a tensor (n_experts, rows, inputs).
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ExpertsConfig, ModelConfig
from halfbyte.families.expert_stages import AddGated, ExpertsHidden, ExpertsOutput, Route
from halfbyte.families.stages import FeedForward, Norm, Project, Stage
from halfbyte.families.tensors import TensorSpec
from halfbyte.lazy_dataclass import dataclass

ROUTER, SHARED_GATE = "ffn_gate_inp", "ffn_gate_inp_shexp"
GATE, UP, DOWN = "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"
GATE_UP = "ffn_gate_up_exps"
_SHARED = ("ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp")
_SELECTION_BIAS = "exp_probs_b"


@dataclass(frozen=True, slots=True)
class Names:
    """What a checkpoint calls the tensors of a layer's experts, behind "model.layers.N.".

    Attributes:
        experts: gate, up and down; "{}" stands for an expert's number. Where it is absent the
            tensor has all of them. A gate "" is none, here and in shared_kinds.
        router, shared, shared_gate, selection_bias: "" where there are none.
        shared_kinds: gate, up and down of the shared one, behind its name.
        norm: of the network's input.
        file_norm: what a GGUF file calls that.
        activation: of the hidden features, a key of stages.ACTIVATIONS.
    """

    experts: tuple[str, str, str] = (
        "mlp.experts.{}.gate_proj.weight",
        "mlp.experts.{}.up_proj.weight",
        "mlp.experts.{}.down_proj.weight",
    )
    router: str = "mlp.gate.weight"
    shared: str = ""
    shared_gate: str = ""
    selection_bias: str = ""
    shared_kinds: tuple[str, str, str] = (
        "gate_proj.weight",
        "up_proj.weight",
        "down_proj.weight",
    )
    norm: str = "post_attention_layernorm.weight"
    file_norm: str = blocks.FFN_NORM
    activation: str = "silu"


def network(c: ModelConfig, i: int, names: Names) -> Iterator[Stage]:
    """What layer i has, experts or a feed-forward network."""
    if c.has_experts(i):
        return experts(c, i, names)
    return blocks.feed_forward(c, i, norm=names.file_norm)


def network_tensors(c: ModelConfig, i: int, names: Names) -> Iterator[TensorSpec]:
    """What `network` takes."""
    if c.has_experts(i):
        return expert_tensors(c, i, names)
    return blocks.feed_forward_tensors(c, i, norm=names.file_norm)


def experts(c: ModelConfig, i: int, names: Names) -> Iterator[Stage]:
    """x += the weighted sum of a token's experts' networks of n, and shared ones; n = RMSNorm(x).

    All that takes n comes before anything is added to x.
    """
    assert c.experts is not None
    gate = (SHARED_GATE,) if names.shared_gate else ()
    yield Norm(names.file_norm, layer=i)
    yield Project((ROUTER, *gate), "normed", "routed", layer=i)
    bias = _SELECTION_BIAS if names.selection_bias else ""
    yield Route(selection_bias=bias, scale=c.residual_scale, layer=i)
    fused, kind = GATE_UP if c.experts.is_fused else "", names.activation
    yield ExpertsHidden(GATE if names.experts[0] else "", UP, DOWN, kind, fused=fused, layer=i)
    if c.experts.shared_dim:
        own, up, down = _SHARED
        yield FeedForward(own if names.shared_kinds[0] else "", up, down, kind, layer=i)
    yield ExpertsOutput(DOWN, layer=i)
    if names.shared_gate:
        yield Project(_SHARED[2:], "hidden", "shared", layer=i)
        yield AddGated(layer=i)
    elif c.experts.shared_dim:
        yield blocks.joined(c, i, _SHARED[2], "hidden", bias=False)


def expert_tensors(c: ModelConfig, i: int, names: Names) -> Iterator[TensorSpec]:
    """What `experts` takes."""
    e, at, hf = c.experts, f"blk.{i}.", f"model.layers.{i}."
    assert e is not None
    yield TensorSpec(f"{at}{names.file_norm}.weight", hf + names.norm, (c.dim,))
    yield TensorSpec(f"{at}{ROUTER}.weight", hf + names.router, (e.n_experts, c.dim))
    if names.selection_bias:
        name = f"{at}{_SELECTION_BIAS}.bias"
        yield TensorSpec(name, hf + names.selection_bias, (e.n_experts,))
    wide, narrow = (e.n_experts, e.hidden_dim, c.dim), (e.n_experts, c.dim, e.hidden_dim)
    shapes = (wide, wide, narrow)
    specs = [
        TensorSpec(f"{at}{name}.weight", hf + hf_name, shape)
        for name, hf_name, shape in zip((GATE, UP, DOWN), names.experts, shapes, strict=True)
        if hf_name
    ]
    if e.is_fused:  # in files alone: a checkpoint's are taken apart
        parts = tuple((spec.name, e.hidden_dim) for spec in specs[:2])
        shape = (e.n_experts, 2 * e.hidden_dim, c.dim)
        specs[:2] = [TensorSpec(f"{at}{GATE_UP}.weight", "", shape, parts=parts)]
    yield from specs
    if e.shared_dim:
        yield from _shared_tensors(c, e, at, hf, names)


def _shared_tensors(
    c: ModelConfig, e: ExpertsConfig, at: str, hf: str, names: Names
) -> Iterator[TensorSpec]:
    if names.shared_gate:
        yield TensorSpec(f"{at}{SHARED_GATE}.weight", hf + names.shared_gate, (1, c.dim))
    wide, narrow = (e.shared_dim, c.dim), (c.dim, e.shared_dim)
    shapes = (wide, wide, narrow)
    for name, kind, shape in zip(_SHARED, names.shared_kinds, shapes, strict=True):
        if kind:
            yield TensorSpec(f"{at}{name}.weight", f"{hf}{names.shared}.{kind}", shape)
