"""Gemma 4: heads by the kind of layer, keys of other layers, embeddings of each layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .parts import network
from .spec import Config, Named, Tiny

# Heads that differ where there is no window; others' values there are their keys.
_GEMMA4: dict[str, object] = {
    "model_type": "gemma4_text", "architectures": ["Gemma4ForCausalLM"],
    "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 24,
    "final_logit_softcapping": 4.0, "hidden_size_per_layer_input": 0, "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
        "full_attention": {"rope_type": "proportional", "rope_theta": 1e4,
                           "partial_rotary_factor": 0.25}},
}  # fmt: skip


KINDS: dict[str, Config] = {
    "gemma4": {**_GEMMA4, "attention_k_eq_v": True},
    "gemma4_unified": {**_GEMMA4, "model_type": "gemma4_unified_text",
                       "architectures": ["Gemma4UnifiedForCausalLM"],
                       "final_logit_softcapping": 30.0},
    "gemma4_e": {**_GEMMA4, "hidden_size_per_layer_input": 32,
                 "use_double_wide_mlp": True},
    "gemma4_moe": {**_GEMMA4, "attention_k_eq_v": True, "enable_moe_block": True, "num_experts": 6,
                   "top_k_experts": 2, "moe_intermediate_size": 32},
}  # fmt: skip


def of_shape(tiny: Tiny) -> Config:
    """Kinds of layers and sizes: the E sizes' last half of layers read others' keys."""
    types, n = ["sliding_attention", "full_attention"], tiny.n_layers
    return {
        "layer_types": [types[i % 2 or i == n - 1] for i in range(n)],
        "vocab_size_per_layer_input": tiny.vocab_size,
        "global_head_dim": 3 * tiny.head_dim,
        "num_global_key_value_heads": tiny.n_kv_heads // 2,
        "num_kv_shared_layers": tiny.n_layers // 2 if tiny.kind == "gemma4_e" else 0,
    }


def _per_layer_dim(tiny: Tiny) -> int:
    return int(str(KINDS[tiny.kind]["hidden_size_per_layer_input"]))


def own_embeddings(tiny: Tiny) -> Iterator[Named]:
    """Embeddings of each layer, and what makes others of the token's."""
    n = _per_layer_dim(tiny)
    yield "model.embed_tokens_per_layer.weight", (tiny.vocab_size, tiny.n_layers * n)
    yield "model.per_layer_model_projection.weight", (tiny.n_layers * n, tiny.dim)
    yield "model.per_layer_projection_norm.weight", (n,)


def layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of Gemma 4's: by its kind, and by whether it has keys of its own."""
    c: dict[str, Any] = {**KINDS[tiny.kind], **of_shape(tiny)}
    is_local = c["layer_types"][i] == "sliding_attention"
    is_same = c.get("attention_k_eq_v", False) and not is_local
    d = tiny.head_dim if is_local else c["global_head_dim"]
    n_kv = c["num_global_key_value_heads"] if is_same else tiny.n_kv_heads
    is_shared = i >= tiny.n_layers - c["num_kv_shared_layers"]
    for name in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
        yield f"{name}_layernorm.weight", (tiny.dim,)
    yield "self_attn.q_proj.weight", (tiny.n_heads * d, tiny.dim)
    yield "self_attn.q_norm.weight", (d,)
    if not is_shared:
        for name in "k" if is_same else "kv":
            yield f"self_attn.{name}_proj.weight", (n_kv * d, tiny.dim)
        yield "self_attn.k_norm.weight", (d,)
    yield "self_attn.o_proj.weight", (tiny.dim, tiny.n_heads * d)
    is_wide = is_shared and c.get("use_double_wide_mlp", False)
    yield from network("mlp", tiny.dim, tiny.hidden_dim * (1 + is_wide))
    yield "layer_scalar", (1,)
    if tiny.kind == "gemma4_e":
        n = _per_layer_dim(tiny)
        yield "per_layer_input_gate.weight", (n, tiny.dim)
        yield "per_layer_projection.weight", (tiny.dim, n)
        yield "post_per_layer_input_norm.weight", (tiny.dim,)
    if tiny.kind == "gemma4_moe":
        n, width = c["num_experts"], c["moe_intermediate_size"]
        yield "router.proj.weight", (n, tiny.dim)
        yield "router.scale", (tiny.dim,)
        yield "router.per_expert_scale", (n,)
        yield "experts.gate_up_proj", (n, 2 * width, tiny.dim)
        yield "experts.down_proj", (n, tiny.dim, width)
        for name in ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2",
                     "pre_feedforward_layernorm_2"):  # fmt: skip
            yield f"{name}.weight", (tiny.dim,)
