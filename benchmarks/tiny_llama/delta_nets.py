"""Qwen3-Next and Qwen3.5: gated delta nets, and experts beside a shared one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .parts import network, norm
from .spec import Config, Named, Tiny

# Gated delta nets, and experts beside a shared one.
_NETS: dict[str, object] = {
    "linear_conv_kernel_dim": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "linear_num_key_heads": 2, "linear_num_value_heads": 6, "partial_rotary_factor": 0.25,
}  # fmt: skip


_EXPERTS: dict[str, object] = {"moe_intermediate_size": 32, "shared_expert_intermediate_size": 64}


_SECTIONS: dict[str, object] = {
    "rope_type": "default", "rope_theta": 1e6, "partial_rotary_factor": 0.25,
    "mrope_section": [2, 1, 1], "mrope_interleaved": True,
}  # fmt: skip


KINDS: dict[str, Config] = {
    "qwen3_next": {"model_type": "qwen3_next", "architectures": ["Qwen3NextForCausalLM"],
                   **_NETS, **_EXPERTS, "norm_topk_prob": True, "num_experts": 6,
                   "num_experts_per_tok": 2, "full_attention_interval": 2},
    "qwen3_5_text": {"model_type": "qwen3_5_text", "architectures": ["Qwen3_5ForCausalLM"],
                     **_NETS, "full_attention_interval": 2, "rope_parameters": _SECTIONS},
    "qwen3_5_moe_text": {"model_type": "qwen3_5_moe_text",
                         "architectures": ["Qwen3_5MoeForCausalLM"], **_NETS, **_EXPERTS,
                         "num_experts": 6, "num_experts_per_tok": 2, "full_attention_interval": 3,
                         "rope_parameters": _SECTIONS},
}  # fmt: skip


def of_shape(tiny: Tiny) -> Config:
    """Kinds of layers, where they are listed."""
    if tiny.kind != "qwen3_5_text":
        return {}
    kinds = ("linear_attention", "full_attention")
    return {"layer_types": [kinds[i % 2] for i in range(tiny.n_layers)]}


def layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of Qwen3-Next or Qwen3.5."""
    c: dict[str, Any] = KINDS[tiny.kind]
    is_recurrent = (i + 1) % c["full_attention_interval"] != 0
    yield from norm(tiny, "input_layernorm")
    yield from _delta_net(tiny, c) if is_recurrent else _gated_attention(tiny)
    yield from norm(tiny, "post_attention_layernorm")
    n, width = c.get("num_experts", 0), c.get("moe_intermediate_size")
    if not n:
        yield from network("mlp", tiny.dim, tiny.hidden_dim)
        return
    yield "mlp.gate.weight", (n, tiny.dim)
    yield "mlp.shared_expert_gate.weight", (1, tiny.dim)
    yield from network("mlp.shared_expert", tiny.dim, c["shared_expert_intermediate_size"])
    if tiny.kind == "qwen3_next":
        for e in range(n):
            yield from network(f"mlp.experts.{e}", tiny.dim, width)
        return
    yield "mlp.experts.gate_up_proj", (n, 2 * width, tiny.dim)
    yield "mlp.experts.down_proj", (n, tiny.dim, width)


def _delta_net(tiny: Tiny, c: dict[str, Any]) -> Iterator[Named]:
    n_keys, n = c["linear_num_key_heads"], c["linear_num_value_heads"]
    keys, values = n_keys * c["linear_key_head_dim"], n * c["linear_value_head_dim"]
    if tiny.kind == "qwen3_next":
        rows = {"qkvz": 2 * (keys + values), "ba": 2 * n}
    else:
        rows = {"qkv": 2 * keys + values, "z": values, "b": n, "a": n}
    for name, n_rows in rows.items():
        yield f"linear_attn.in_proj_{name}.weight", (n_rows, tiny.dim)
    yield "linear_attn.conv1d.weight", (2 * keys + values, 1, c["linear_conv_kernel_dim"])
    yield "linear_attn.A_log", (n,)
    yield "linear_attn.dt_bias", (n,)
    yield "linear_attn.norm.weight", (c["linear_value_head_dim"],)
    yield "linear_attn.out_proj.weight", (tiny.dim, values)


def _gated_attention(tiny: Tiny) -> Iterator[Named]:
    q, kv = tiny.n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim
    for name, rows in (("q", 2 * q), ("k", kv), ("v", kv)):
        yield f"self_attn.{name}_proj.weight", (rows, tiny.dim)
    for name in "qk":
        yield f"self_attn.{name}_norm.weight", (tiny.head_dim,)
    yield "self_attn.o_proj.weight", (tiny.dim, q)
