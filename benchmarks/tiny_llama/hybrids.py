"""Granite 4 and Nemotron-H: Mamba-2 in some layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .parts import GRANITE, attention, granite_experts, norm, plain_network
from .spec import Config, Named, Tiny

# Mamba-2 in some layers: heads that fill a vector and that do not, groups of heads.
_MAMBA: dict[str, object] = {
    "model_type": "granitemoehybrid", "architectures": ["GraniteMoeHybridForCausalLM"],
    "mamba_n_heads": 8, "mamba_d_state": 24, "mamba_n_groups": 2,
    "mamba_d_conv": 4, "mamba_expand": 2, "mamba_chunk_size": 32, "mamba_conv_bias": True,
    "mamba_proj_bias": False, "shared_intermediate_size": 96, **GRANITE,
}  # fmt: skip


_NEMOTRON: dict[str, object] = {
    "model_type": "nemotron_h", "architectures": ["NemotronHForCausalLM"], "mamba_num_heads": 6,
    "mamba_head_dim": 20, "ssm_state_size": 16, "n_groups": 3, "conv_kernel": 4, "chunk_size": 32,
    "layer_norm_epsilon": 1e-5, "mlp_hidden_act": "relu2",
    # transformers takes the first for a limit, in prompts alone.
    "time_step_min": 1e-9, "time_step_limit": [0.0, float("inf")],
}  # fmt: skip


KINDS: dict[str, Config] = {
    "granitehybrid": {**_MAMBA, "num_local_experts": 0, "num_experts_per_tok": 0,
                      "position_embedding_type": "nope"},
    "granitehybrid_moe": {**_MAMBA, "num_local_experts": 6, "num_experts_per_tok": 2,
                          "position_embedding_type": "rope"},
    "nemotron_h": _NEMOTRON,
    "nemotron_h_moe": {**_NEMOTRON, "n_routed_experts": 8, "num_experts_per_tok": 3,
                       "moe_intermediate_size": 32, "n_shared_experts": 1,
                       "moe_shared_expert_intermediate_size": 64, "n_group": 2, "topk_group": 1,
                       "routed_scaling_factor": 2.5, "norm_topk_prob": True},
}  # fmt: skip

# Kinds of Nemotron-H's layers.
PATTERNS = {"nemotron_h": "M-*M", "nemotron_h_moe": "ME*EM-"}


def of_shape(tiny: Tiny) -> Config:
    """Kinds of layers, which a pattern of Nemotron-H's spells."""
    if tiny.kind in PATTERNS:
        return {"hybrid_override_pattern": PATTERNS[tiny.kind][: tiny.n_layers]}
    kinds = ["attention" if i % 3 == 1 else "mamba" for i in range(tiny.n_layers)]
    return {"layer_types": kinds, "mamba_d_head": tiny.dim // 4}


def layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of either."""
    return (_nemotron_layer if tiny.kind in PATTERNS else _granite_layer)(tiny, i)


def _granite_layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of Granite 4's."""
    c: dict[str, Any] = {**KINDS[tiny.kind], **of_shape(tiny)}
    if c["layer_types"][i] == "attention":
        own = attention(tiny, "self_attn")
    else:
        sizes = (c[f"mamba_{n}"] for n in ("n_heads", "d_head", "d_state", "n_groups", "d_conv"))
        own = _mamba("mamba", tiny.dim, *sizes)
    yield from norm(tiny, "input_layernorm")
    yield from own
    yield from norm(tiny, "post_attention_layernorm")
    yield from granite_experts(tiny, c["num_local_experts"], c["shared_intermediate_size"])


def _nemotron_layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of Nemotron-H's."""
    c: dict[str, Any] = KINDS[tiny.kind]
    yield "norm.weight", (tiny.dim,)
    match PATTERNS[tiny.kind][i]:
        case "M":
            names = ("mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups",
                     "conv_kernel")  # fmt: skip
            yield from _mamba("mixer", tiny.dim, *(c[name] for name in names))
        case "*":
            yield from attention(tiny, "mixer")
        case "-":
            yield from plain_network("mixer", tiny.dim, tiny.hidden_dim)
        case "E":
            yield "mixer.gate.weight", (c["n_routed_experts"], tiny.dim)
            yield "mixer.gate.e_score_correction_bias", (c["n_routed_experts"],)
            for e in range(c["n_routed_experts"]):
                name = f"mixer.experts.{e}"
                yield from plain_network(name, tiny.dim, c["moe_intermediate_size"])
            width = c["moe_shared_expert_intermediate_size"]
            yield from plain_network("mixer.shared_experts", tiny.dim, width)


def _mamba(
    name: str, dim: int, n_heads: int, head_dim: int, n_state: int, n_groups: int, n_taps: int
) -> Iterator[Named]:
    inner = n_heads * head_dim
    width = inner + 2 * n_groups * n_state
    yield f"{name}.in_proj.weight", (inner + width + n_heads, dim)
    yield f"{name}.conv1d.weight", (width, 1, n_taps)
    yield f"{name}.conv1d.bias", (width,)
    for kind in ("dt_bias", "A_log", "D"):
        yield f"{name}.{kind}", (n_heads,)
    yield f"{name}.norm.weight", (inner,)
    yield f"{name}.out_proj.weight", (dim, inner)
