"""LFM2: short convolutions in some layers, experts behind the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .parts import linear
from .spec import Config, Named, Tiny

_LFM2: dict[str, object] = {
    "model_type": "lfm2",
    "architectures": ["Lfm2ForCausalLM"],
    "block_multiple_of": 32,
    "block_ffn_dim_multiplier": 1.5,
}


KINDS: dict[str, Config] = {
    "lfm2": _LFM2,
    "lfm2_biases": {**_LFM2, "conv_bias": True, "conv_L_cache": 4},
    "lfm2_moe": {"model_type": "lfm2_moe", "architectures": ["Lfm2MoeForCausalLM"],
                 "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
                 "num_dense_layers": 1, "norm_topk_prob": True},
}  # fmt: skip
# Which layers are convolutions, from the first on and so on.
_CONVOLUTIONS = {"lfm2": (1, 0), "lfm2_biases": (0, 1, 1), "lfm2_moe": (1, 1, 0)}


def of_shape(tiny: Tiny) -> Config:
    """Kinds of layers."""
    kinds = ("full_attention", "conv")
    return {"layer_types": [kinds[_is_convolution(tiny, i)] for i in range(tiny.n_layers)]}


def layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of LFM2's, of which some have experts behind the first."""
    c: dict[str, Any] = KINDS[tiny.kind]
    bias, dim, hidden = bool(c.get("conv_bias")), tiny.dim, tiny.hidden_dim
    yield "operator_norm.weight", (dim,)
    if _is_convolution(tiny, i):
        yield from linear("conv.in_proj", 3 * dim, dim, bias)
        yield "conv.conv.weight", (dim, 1, c.get("conv_L_cache", 3))
        if bias:
            yield "conv.conv.bias", (dim,)
        yield from linear("conv.out_proj", dim, dim, bias)
    else:
        q, kv = tiny.n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            yield f"self_attn.{name}_proj.weight", (rows, dim)
        for name in "qk":
            yield f"self_attn.{name}_layernorm.weight", (tiny.head_dim,)
        yield "self_attn.out_proj.weight", (dim, q)
    yield "ffn_norm.weight", (dim,)
    networks = [("feed_forward", hidden)]
    n = c.get("num_experts", 0)
    if n and i >= c["num_dense_layers"]:
        yield "feed_forward.gate.weight", (n, dim)
        yield "feed_forward.expert_bias", (n,)
        networks = [(f"feed_forward.experts.{e}", c["moe_intermediate_size"]) for e in range(n)]
    for at, width in networks:
        for name, shape in (("w1", (width, dim)), ("w3", (width, dim)), ("w2", (dim, width))):
            yield f"{at}.{name}.weight", shape


def _is_convolution(tiny: Tiny, i: int) -> bool:
    kinds = _CONVOLUTIONS[tiny.kind]
    return bool(kinds[i % len(kinds)])
