"""Llama and its first relatives: they are drawn layer by layer, in an order of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .spec import F32, Config, Tiny

Linear = Callable[[int, int, float], F32]  # of rows, columns and a gain

KINDS: dict[str, Config] = {
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"],
              "use_sliding_window": False, "sliding_window": 24},
    "qwen3": {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"],
              "use_sliding_window": False},
    "mistral": {"model_type": "mistral", "architectures": ["MistralForCausalLM"],
                "sliding_window": 24},
    "qwen3_moe": {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"],
                  "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
                  "norm_topk_prob": True},
    "mellum": {"model_type": "mellum", "architectures": ["MellumForCausalLM"],
               "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
               "norm_topk_prob": True, "sliding_window": 24, "rope_parameters": {
                   "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                   "full_attention": {"rope_type": "yarn", "rope_theta": 5e5, "factor": 4.0,
                                      "original_max_position_embeddings": 32}}},
    "laguna": {"model_type": "laguna", "architectures": ["LagunaForCausalLM"], "gating": True,
               "sliding_window": 24,
               "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
               "shared_expert_intermediate_size": 64, "moe_routed_scaling_factor": 1.5,
               "rope_parameters": {
                   "sliding_attention": {"rope_type": "default", "rope_theta": 1e4,
                                         "partial_rotary_factor": 1.0},
                   "full_attention": {"rope_type": "yarn", "rope_theta": 5e5, "factor": 4.0,
                                      "partial_rotary_factor": 0.5, "beta_fast": 4.0,
                                      "original_max_position_embeddings": 32}}},
    "mixtral": {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"],
                "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {"model_type": "qwen2_moe", "architectures": ["Qwen2MoeForCausalLM"],
                  "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
                  "shared_expert_intermediate_size": 96, "norm_topk_prob": False},
    "linear": {"rope_scaling": {"type": "linear", "factor": 4.0}},
    "llama3": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                "high_freq_factor": 4.0,
                                "original_max_position_embeddings": 64}},
    # As Qwen's model cards have it for contexts beyond 32k, with other numbers.
    "yarn": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"],
             "use_sliding_window": False,
             "rope_scaling": {"type": "yarn", "factor": 4.0,
                              "original_max_position_embeddings": 32}},
    "phi3": {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"],
             "pad_token_id": 0, "original_max_position_embeddings": 48,
             "partial_rotary_factor": 0.75, "sliding_window": 61,
             "rope_scaling": {"type": "longrope", "short_factor": [1 + 0.05 * i for i in range(12)],
                              "long_factor": [1.0 + 0.7 * i for i in range(12)]}},
    "smollm3": {"model_type": "smollm3", "architectures": ["SmolLM3ForCausalLM"],
                "pad_token_id": 0, "use_sliding_window": False, "no_rope_layer_interval": 4},
    "ministral3": {"model_type": "ministral3", "architectures": ["Ministral3ForCausalLM"],
                   "rope_scaling": None,
                   "rope_parameters": {"type": "yarn", "rope_type": "yarn", "rope_theta": 1e6,
                                       "factor": 16.0, "original_max_position_embeddings": 24,
                                       "max_position_embeddings": 512, "beta_fast": 4.0,
                                       "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                                       "llama_4_scaling_beta": 0.3}},
}  # fmt: skip


def of_shape(tiny: Tiny) -> Config:
    """Kinds of layers; half of Laguna's heads where there is no window."""
    types, n = ["sliding_attention", "full_attention"], tiny.n_layers
    if tiny.kind == "mellum":
        return {"layer_types": [types[i % 2] for i in range(n)]}
    if tiny.kind == "laguna":
        return {
            "layer_types": [types[1 - i % 2] for i in range(n)],
            "num_attention_heads_per_layer": [_n_heads(tiny, i) for i in range(n)],
            "mlp_layer_types": ["dense"] + ["sparse"] * (n - 1),
        }
    return {}


def _n_heads(tiny: Tiny, i: int) -> int:
    return tiny.n_heads // (2 - i % 2) if tiny.kind == "laguna" else tiny.n_heads


def weights(tiny: Tiny, uniform: Callable[..., F32]) -> dict[str, F32]:
    """All tensors, drawn by uniform(shape, deviation, mean)."""

    def linear(rows: int, cols: int, gain: float) -> F32:
        return uniform((rows, cols), gain / cols**0.5)

    dim, hidden = tiny.dim, tiny.hidden_dim
    out = {"model.embed_tokens.weight": uniform((tiny.vocab_size, dim), 0.5)}
    for i in range(tiny.n_layers):
        layer = f"model.layers.{i}."
        out |= _attention(tiny, i, layer, uniform, linear)
        out[layer + "post_attention_layernorm.weight"] = uniform((dim,), 0.2, 1.0)
        if tiny.kind == "phi3":
            out[layer + "mlp.gate_up_proj.weight"] = linear(2 * hidden, dim, 1.5)
            out[layer + "mlp.down_proj.weight"] = linear(dim, hidden, 1.0)
        elif "num_experts_per_tok" in KINDS.get(tiny.kind, {}) and (tiny.kind != "laguna" or i > 0):
            out |= experts(layer, tiny, linear)
            if tiny.kind == "laguna":
                out[f"{layer}mlp.experts.e_score_correction_bias"] = uniform((6,), 0.3)
        else:
            out[layer + "mlp.gate_proj.weight"] = linear(hidden, dim, 1.5)
            out[layer + "mlp.up_proj.weight"] = linear(hidden, dim, 1.0)
            out[layer + "mlp.down_proj.weight"] = linear(dim, hidden, 1.0)
    out["model.norm.weight"] = uniform((dim,), 0.2, 1.0)
    if not tiny.tied:
        out["lm_head.weight"] = linear(tiny.vocab_size, dim, 3.0)
    return out


def _attention(
    tiny: Tiny, i: int, layer: str, uniform: Callable[..., F32], linear: Linear
) -> dict[str, F32]:
    """What a layer has up to its second norm."""
    n_heads, dim, at, out = _n_heads(tiny, i), tiny.dim, layer + "self_attn.", dict[str, F32]()
    q_dim, kv_dim = n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim
    if tiny.kind == "laguna":
        out[at + "g_proj.weight"] = linear(n_heads, dim, 1.0)
    out[layer + "input_layernorm.weight"] = uniform((dim,), 0.2, 1.0)
    if tiny.kind == "phi3":
        qk = linear(q_dim + kv_dim, dim, 1.4)
        out[at + "qkv_proj.weight"] = np.concatenate([qk, linear(kv_dim, dim, 1.0)])
    else:
        out[at + "q_proj.weight"] = linear(q_dim, dim, 1.4)
        out[at + "k_proj.weight"] = linear(kv_dim, dim, 1.4)
        out[at + "v_proj.weight"] = linear(kv_dim, dim, 1.0)
    if tiny.kind in ("qwen2", "yarn", "qwen2_moe"):
        for name, n in (("q", q_dim), ("k", kv_dim), ("v", kv_dim)):
            out[f"{at}{name}_proj.bias"] = uniform((n,), 0.7)
    if tiny.kind in ("qwen3", "qwen3_moe", "mellum", "laguna"):
        for name in "qk":
            out[f"{at}{name}_norm.weight"] = uniform((tiny.head_dim,), 0.3, 1.0)
    out[at + "o_proj.weight"] = linear(dim, q_dim, 1.0)
    return out


def experts(layer: str, tiny: Tiny, linear: Linear) -> dict[str, F32]:
    """A layer's router and experts; its logits are wide apart, so that a tie is unlikely."""
    config = KINDS[tiny.kind]

    def number(*names: str) -> int:
        return next((int(str(config[name])) for name in names if name in config), 0)

    n, dim = number("num_experts", "num_local_experts"), tiny.dim
    width = number("moe_intermediate_size") or tiny.hidden_dim
    block, kinds = "mlp", ("gate_proj", "up_proj", "down_proj")
    if tiny.kind == "mixtral":
        block, kinds = "block_sparse_moe", ("w1", "w3", "w2")
    out = {f"{layer}{block}.gate.weight": linear(n, dim, 3.0)}

    def network(at: str, width: int, kinds: tuple[str, ...] = kinds) -> None:
        for kind, gain in zip(kinds, (1.5, 1.0), strict=False):
            out[f"{at}.{kind}.weight"] = linear(width, dim, gain)
        out[f"{at}.{kinds[2]}.weight"] = linear(dim, width, 1.0)

    for e in range(n):
        network(f"{layer}{block}.experts.{e}", width)
    shared = number("shared_expert_intermediate_size")
    if shared:
        network(f"{layer}mlp.shared_expert", shared)
        if tiny.kind != "laguna":
            out[f"{layer}mlp.shared_expert_gate.weight"] = linear(1, dim, 1.0)
    return out
