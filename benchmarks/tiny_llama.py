"""Tiny Llama checkpoints made from a seed, the same bytes on every machine.

Golden data then holds only what a reference says about such a model; the weights are made again
where they are needed. Their sizes are chosen so that attention attends, gates open and close and
norms differ: a mistake in any of them changes the logits. Only raw bits of PCG64 are used, since
NumPy promises their stability but not that of its normal distribution.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
N_BYTE_PIECES = 256
Named = tuple[str, tuple[int, ...]]
_GRANITE = {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "logits_scaling": 4.0,
            "attention_multiplier": 0.15}  # fmt: skip
# Attention to compressed keys and values, and experts behind a first layer.
_HEADS: dict[str, object] = {
    "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "head_dim": 16,
    "v_head_dim": 32,
}  # fmt: skip
_LATENTS: dict[str, object] = {
    **_HEADS, "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
    "n_shared_experts": 1, "first_k_dense_replace": 1,
}  # fmt: skip
_LATENT_YARN: dict[str, object] = {
    "type": "yarn", "factor": 16.0, "original_max_position_embeddings": 32, "beta_fast": 32,
    "beta_slow": 1,
}  # fmt: skip
# Mamba-2 in some layers: heads that fill a vector and that do not, groups of heads.
_MAMBA: dict[str, object] = {
    "model_type": "granitemoehybrid", "architectures": ["GraniteMoeHybridForCausalLM"],
    "mamba_n_heads": 8, "mamba_d_state": 24, "mamba_n_groups": 2,
    "mamba_d_conv": 4, "mamba_expand": 2, "mamba_chunk_size": 32, "mamba_conv_bias": True,
    "mamba_proj_bias": False, "shared_intermediate_size": 96, **_GRANITE,
}  # fmt: skip
_NEMOTRON: dict[str, object] = {
    "model_type": "nemotron_h", "architectures": ["NemotronHForCausalLM"], "mamba_num_heads": 6,
    "mamba_head_dim": 20, "ssm_state_size": 16, "n_groups": 3, "conv_kernel": 4, "chunk_size": 32,
    "layer_norm_epsilon": 1e-5, "mlp_hidden_act": "relu2",
    # transformers takes the first for a limit, in prompts alone.
    "time_step_min": 1e-9, "time_step_limit": [0.0, float("inf")],
}  # fmt: skip
# Heads that differ where there is no window; others' values there are their keys.
_GEMMA4: dict[str, object] = {
    "model_type": "gemma4_text", "architectures": ["Gemma4ForCausalLM"],
    "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 24,
    "final_logit_softcapping": 4.0, "hidden_size_per_layer_input": 0, "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
        "full_attention": {"rope_type": "proportional", "rope_theta": 1e4,
                           "partial_rotary_factor": 0.25}},
}  # fmt: skip
_LFM2: dict[str, object] = {
    "model_type": "lfm2",
    "architectures": ["Lfm2ForCausalLM"],
    "block_multiple_of": 32,
    "block_ffn_dim_multiplier": 1.5,
}
# Which layers are convolutions, from the first on and so on.
_CONVOLUTIONS = {"lfm2": (1, 0), "lfm2_biases": (0, 1, 1), "lfm2_moe": (1, 1, 0)}
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
# Families that are built otherwise: what their config.json says otherwise.
FAMILIES: dict[str, dict[str, object]] = {
    "llama_biases": {"attention_bias": True, "mlp_bias": True},
    "starcoder2": {"model_type": "starcoder2", "architectures": ["Starcoder2ForCausalLM"],
                   "hidden_act": "gelu_pytorch_tanh", "norm_epsilon": 1e-5, "use_bias": True,
                   "sliding_window": 24},
    "gemma": {"model_type": "gemma", "architectures": ["GemmaForCausalLM"],
              "hidden_act": "gelu_pytorch_tanh"},
    "gemma2": {"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "sliding_window": 24,
               "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 24,
               "attn_logit_softcapping": 3.0, "final_logit_softcapping": 2.0},
    "gemma3": {"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"],
               "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 24,
               "sliding_window": 24, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
               "rope_local_base_freq": 1e4, "sliding_window_pattern": 3,
               "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]},
    "gemma4": {**_GEMMA4, "attention_k_eq_v": True},
    "gemma4_unified": {**_GEMMA4, "model_type": "gemma4_unified_text",
                       "architectures": ["Gemma4UnifiedForCausalLM"],
                       "final_logit_softcapping": 30.0},
    "gemma4_e": {**_GEMMA4, "hidden_size_per_layer_input": 32,
                 "use_double_wide_mlp": True},
    "gemma4_moe": {**_GEMMA4, "attention_k_eq_v": True, "enable_moe_block": True, "num_experts": 6,
                   "top_k_experts": 2, "moe_intermediate_size": 32},
    "glm4": {"model_type": "glm4", "architectures": ["Glm4ForCausalLM"], "attention_bias": True,
             "partial_rotary_factor": 0.5, "pad_token_id": 0},
    "starcoder": {"model_type": "gpt_bigcode", "architectures": ["GPTBigCodeForCausalLM"],
                  "activation_function": "gelu_pytorch_tanh", "multi_query": True},
    "granite": {"model_type": "granite", "architectures": ["GraniteForCausalLM"],
                **_GRANITE},
    "olmo2": {"model_type": "olmo2", "architectures": ["Olmo2ForCausalLM"]},
    "seed_oss": {"model_type": "seed_oss", "architectures": ["SeedOssForCausalLM"],
                 "attention_bias": True, "attention_out_bias": False},
    "ernie4_5": {"model_type": "ernie4_5", "architectures": ["Ernie4_5ForCausalLM"],
                 "use_bias": True},
    "olmo3": {"model_type": "olmo3", "architectures": ["Olmo3ForCausalLM"], "sliding_window": 24,
              "rope_theta": 500000.0,
              "rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                               "original_max_position_embeddings": 32}},
    "apertus": {"model_type": "apertus", "architectures": ["ApertusForCausalLM"],
                "hidden_act": "xielu",
                "rope_parameters": {"rope_type": "llama3", "rope_theta": 1e5, "factor": 8.0,
                                    "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                    "original_max_position_embeddings": 64}},
    "granitemoe": {"model_type": "granitemoe", "architectures": ["GraniteMoeForCausalLM"],
                   "num_local_experts": 6, "num_experts_per_tok": 2, **_GRANITE},
    "granitemoeshared": {"model_type": "granitemoeshared",
                         "architectures": ["GraniteMoeSharedForCausalLM"], "num_local_experts": 5,
                         "num_experts_per_tok": 3, "shared_intermediate_size": 64, **_GRANITE},
    "ernie4_5_moe": {"model_type": "ernie4_5_moe", "architectures": ["Ernie4_5_MoeForCausalLM"],
                     "moe_num_experts": 6, "moe_k": 2, "moe_intermediate_size": 32,
                     "moe_num_shared_experts": 2, "moe_layer_start_index": 1,
                     "moe_layer_end_index": -1, "moe_layer_interval": 1},
    "glm4_moe": {"model_type": "glm4_moe", "architectures": ["Glm4MoeForCausalLM"],
                 "attention_bias": True, "use_qk_norm": True, "partial_rotary_factor": 0.5,
                 "n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
                 "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2,
                 "routed_scaling_factor": 1.5, "norm_topk_prob": True,
                 "num_nextn_predict_layers": 0},
    "gpt_oss": {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"],
                "attention_bias": True, "num_local_experts": 6, "num_experts_per_tok": 3,
                "sliding_window": 24, "rope_theta": 150000,
                "rope_scaling": {"rope_type": "yarn", "factor": 8.0, "beta_fast": 4.0,
                                 "beta_slow": 1.0, "truncate": False,
                                 "original_max_position_embeddings": 64}},
    "deepseek_v2": {"model_type": "deepseek_v2", "architectures": ["DeepseekV2ForCausalLM"],
                    **_LATENTS, "q_lora_rank": None, "n_shared_experts": 2,
                    "routed_scaling_factor": 1.5, "topk_method": "group_limited_greedy",
                    "n_group": 4, "topk_group": 2, "norm_topk_prob": False,
                    "rope_scaling": {**_LATENT_YARN, "mscale": 0.707, "mscale_all_dim": 0.707}},
    "deepseek_v3": {"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"],
                    **_LATENTS, "q_lora_rank": 64, "n_group": 2, "topk_group": 1,
                    "norm_topk_prob": True, "routed_scaling_factor": 2.5,
                    "rope_scaling": {**_LATENT_YARN, "mscale": 1.0, "mscale_all_dim": 1.0}},
    "glm4_moe_lite": {"model_type": "glm4_moe_lite",
                      "architectures": ["Glm4MoeLiteForCausalLM"], **_LATENTS, "q_lora_rank": 64,
                      "norm_topk_prob": True, "routed_scaling_factor": 1.8},
    "qwen3_next": {"model_type": "qwen3_next", "architectures": ["Qwen3NextForCausalLM"],
                   **_NETS, **_EXPERTS, "norm_topk_prob": True, "num_experts": 6,
                   "num_experts_per_tok": 2, "full_attention_interval": 2},
    "qwen3_5_text": {"model_type": "qwen3_5_text", "architectures": ["Qwen3_5ForCausalLM"],
                     **_NETS, "full_attention_interval": 2, "rope_parameters": _SECTIONS},
    "qwen3_5_moe_text": {"model_type": "qwen3_5_moe_text",
                         "architectures": ["Qwen3_5MoeForCausalLM"], **_NETS, **_EXPERTS,
                         "num_experts": 6, "num_experts_per_tok": 2, "full_attention_interval": 3,
                         "rope_parameters": _SECTIONS},
    "youtu": {"model_type": "youtu", "architectures": ["YoutuForCausalLM"], **_HEADS,
              "q_lora_rank": 64},
    "granitehybrid": {**_MAMBA, "num_local_experts": 0, "num_experts_per_tok": 0,
                      "position_embedding_type": "nope"},
    "granitehybrid_moe": {**_MAMBA, "num_local_experts": 6, "num_experts_per_tok": 2,
                          "position_embedding_type": "rope"},
    "nemotron_h": _NEMOTRON,
    "nemotron_h_moe": {**_NEMOTRON, "n_routed_experts": 8, "num_experts_per_tok": 3,
                       "moe_intermediate_size": 32, "n_shared_experts": 1,
                       "moe_shared_expert_intermediate_size": 64, "n_group": 2, "topk_group": 1,
                       "routed_scaling_factor": 2.5, "norm_topk_prob": True},
    "lfm2": _LFM2,
    "lfm2_biases": {**_LFM2, "conv_bias": True, "conv_L_cache": 4},
    "lfm2_moe": {"model_type": "lfm2_moe", "architectures": ["Lfm2MoeForCausalLM"],
                 "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
                 "num_dense_layers": 1, "norm_topk_prob": True},
}  # fmt: skip
# Where biases are: of q, k and v, of attention's output, of the network.
BIASES = {
    "llama_biases": "qkv o mlp", "starcoder2": "qkv o mlp", "ernie4_5": "qkv o mlp",
    "starcoder": "o mlp", "glm4": "qkv", "seed_oss": "qkv", "glm4_moe": "qkv", "gpt_oss": "qkv o",
}  # fmt: skip
# Norms of a layer that are as wide as the model.
NORMS = {
    "apertus": ("attention_layernorm", "feedforward_layernorm"),
    **dict.fromkeys(("olmo2", "olmo3"), ("post_attention_layernorm", "post_feedforward_layernorm")),
    "glm4": (
        "input_layernorm",
        "post_self_attn_layernorm",
        "post_attention_layernorm",
        "post_mlp_layernorm",
    ),
    **dict.fromkeys(
        ("gemma2", "gemma3"),
        (
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ),
    ),
}
SCALED = {
    "gemma": 8,
    "gemma2": 8,
    "gemma3": 8,
    **dict.fromkeys(("gemma4", "gemma4_e", "gemma4_moe", "gemma4_unified"), 8),
    "granite": 4,
    "granitemoe": 4,
    "granitemoeshared": 4,
    "granitehybrid": 4,
    "granitehybrid_moe": 4,
}  # which multiply embeddings: these are so much smaller
NETS = ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text")  # gated delta nets
LAYER_NORM = {"starcoder", "starcoder2"}
# Of q and k: of all of them, or of each head.
WHOLE_NORMS, HEAD_NORMS = ("olmo2", "olmo3"), ("gemma3", "glm4_moe", "apertus")
CONSTANTS = {"beta": 0.5, "eps": -1e-6}  # of xIELU
# Kinds of Nemotron-H's layers.
PATTERNS = {"nemotron_h": "M-*M", "nemotron_h_moe": "ME*EM-"}
STATES = {".A_log": 0.5, ".D": 1.0, ".dt_bias": -2.5}  # of Mamba-2, about these

CENTERED_NORMS = {
    "gemma",
    "gemma2",
    "gemma3",
    *NETS,
}  # which store what a norm's weight exceeds 1 by
# Relatives: what their config.json says otherwise.
KINDS: dict[str, dict[str, object]] = {
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
    **FAMILIES,
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


@dataclass(frozen=True, slots=True)
class Tiny:
    """Shape and seed of a checkpoint."""

    name: str
    seed: int
    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    rope_theta: float
    tied: bool
    n_ctx: int = 512
    norm_eps: float = 1e-5
    kind: str = "llama"  # or a key of KINDS
    n_next: int = 0  # layers behind the others that guess a token further ahead


def weights(tiny: Tiny) -> dict[str, F32]:
    """All tensors under the names that transformers gives them, as (out, in)."""
    bits = np.random.PCG64(tiny.seed)

    def uniform(shape: tuple[int, ...], std: float, mean: float = 0.0) -> F32:
        raw = bits.random_raw(int(np.prod(shape))) >> np.uint64(40)
        unit = raw.astype(np.float64) / 2.0**23 - 1.0
        return (mean + unit * std * 3**0.5).astype(np.float32).reshape(shape)

    def linear(rows: int, cols: int, gain: float) -> F32:
        return uniform((rows, cols), gain / cols**0.5)

    if tiny.kind in FAMILIES:
        return {name: _values(tiny, name, shape, uniform) for name, shape in tensors(tiny)}
    q_dim, kv_dim = tiny.n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim
    dim, hidden = tiny.dim, tiny.hidden_dim
    out = {"model.embed_tokens.weight": uniform((tiny.vocab_size, dim), 0.5)}
    for i in range(tiny.n_layers):
        layer = f"model.layers.{i}."
        if tiny.kind == "laguna":
            n_heads = _by_layer(tiny)["num_attention_heads_per_layer"][i]
            q_dim = n_heads * tiny.head_dim
            out[layer + "self_attn.g_proj.weight"] = linear(n_heads, dim, 1.0)
        out[layer + "input_layernorm.weight"] = uniform((dim,), 0.2, 1.0)
        if tiny.kind == "phi3":
            qk = linear(q_dim + kv_dim, dim, 1.4)
            fused = np.concatenate([qk, linear(kv_dim, dim, 1.0)])
            out[layer + "self_attn.qkv_proj.weight"] = fused
            out[layer + "self_attn.o_proj.weight"] = linear(dim, q_dim, 1.0)
            out[layer + "post_attention_layernorm.weight"] = uniform((dim,), 0.2, 1.0)
            out[layer + "mlp.gate_up_proj.weight"] = linear(2 * hidden, dim, 1.5)
            out[layer + "mlp.down_proj.weight"] = linear(dim, hidden, 1.0)
            continue
        out[layer + "self_attn.q_proj.weight"] = linear(q_dim, dim, 1.4)
        out[layer + "self_attn.k_proj.weight"] = linear(kv_dim, dim, 1.4)
        out[layer + "self_attn.v_proj.weight"] = linear(kv_dim, dim, 1.0)
        if tiny.kind in ("qwen2", "yarn", "qwen2_moe"):
            for name, n in (("q", q_dim), ("k", kv_dim), ("v", kv_dim)):
                out[f"{layer}self_attn.{name}_proj.bias"] = uniform((n,), 0.7)
        if tiny.kind in ("qwen3", "qwen3_moe", "mellum", "laguna"):
            for name in "qk":
                out[f"{layer}self_attn.{name}_norm.weight"] = uniform((tiny.head_dim,), 0.3, 1.0)
        out[layer + "self_attn.o_proj.weight"] = linear(dim, q_dim, 1.0)
        out[layer + "post_attention_layernorm.weight"] = uniform((dim,), 0.2, 1.0)
        if "num_experts_per_tok" in KINDS.get(tiny.kind, {}) and (tiny.kind != "laguna" or i > 0):
            out |= experts(layer, tiny, linear)
            if tiny.kind == "laguna":
                out[f"{layer}mlp.experts.e_score_correction_bias"] = uniform((6,), 0.3)
            continue
        out[layer + "mlp.gate_proj.weight"] = linear(hidden, dim, 1.5)
        out[layer + "mlp.up_proj.weight"] = linear(hidden, dim, 1.0)
        out[layer + "mlp.down_proj.weight"] = linear(dim, hidden, 1.0)
    out["model.norm.weight"] = uniform((dim,), 0.2, 1.0)
    if not tiny.tied:
        out["lm_head.weight"] = linear(tiny.vocab_size, dim, 3.0)
    return out


def _values(tiny: Tiny, name: str, shape: tuple[int, ...], uniform: Callable[..., F32]) -> F32:
    """A tensor of one of FAMILIES."""
    if not shape:
        return np.array(CONSTANTS[name.rpartition(".")[2]], np.float32)
    if tiny.kind == "gpt_oss" and len(shape) == 3:  # inputs before rows; clamped at 7
        return uniform(shape, (5.0 if "gate_up" in name else 0.3) / shape[1] ** 0.5)
    if name.endswith(("sinks", "_proj_bias")):
        return uniform(shape, 0.7)
    if tiny.kind in NETS and name.endswith(("A_log", "dt_bias")):
        return uniform(shape, 0.7)
    if name.endswith(tuple(STATES)):  # which remember for some tokens, and for many
        return uniform(shape, 0.7, STATES["." + name.rpartition(".")[2]])
    if name.endswith("linear_attn.norm.weight"):
        return uniform(shape, 0.2, 1.0)
    if len(shape) == 1 or name.endswith("bias"):
        mean = float(tiny.kind not in CENTERED_NORMS) * name.endswith(("weight", "scale", "scalar"))
        if tiny.kind.startswith("gemma4") and name.endswith(("q_norm.weight", "k_norm.weight")):
            mean = 0.5  # whose scores nothing else makes smaller
        return uniform(shape, 0.2, mean)
    if "embed" in name or "transformer.w" in name:
        return uniform(shape, 0.5 / SCALED.get(tiny.kind, 1))
    # Logits are wide apart, so that the best of them, and of a router's, are clear.
    routers = (
        "mlp.gate",
        "mixer.gate",
        "router",
        "router.layer",
        "router.proj",
        "feed_forward.gate",
    )
    is_router = name.endswith(tuple(f".{one}.weight" for one in routers))
    gain = 3.0 if name == "lm_head.weight" or is_router else 1.3
    if name == "lm_head.weight" and tiny.kind in NETS:  # whose states carry a rounding on
        gain = 2.0
    return uniform(shape, gain / shape[-1] ** 0.5)


def tensors(tiny: Tiny) -> Iterator[Named]:
    """Names and shapes, (out, in), in an order of their own: those that transformers has."""
    names = ("model.embed_tokens", "model.layers", "model.norm")
    if tiny.kind == "starcoder":
        names = ("transformer.wte", "transformer.h", "transformer.ln_f")
        yield "transformer.wpe.weight", (tiny.n_ctx, tiny.dim)
    if tiny.kind in _CONVOLUTIONS:
        names = (*names[:2], "model.embedding_norm")
    if tiny.kind.startswith("nemotron"):
        names = ("backbone.embeddings", "backbone.layers", "backbone.norm_f")
    yield f"{names[0]}.weight", (tiny.vocab_size, tiny.dim)
    if tiny.kind == "gemma4_e":
        n = _per_layer_dim(tiny)
        yield "model.embed_tokens_per_layer.weight", (tiny.vocab_size, tiny.n_layers * n)
        yield "model.per_layer_model_projection.weight", (tiny.n_layers * n, tiny.dim)
        yield "model.per_layer_projection_norm.weight", (n,)
    for i in range(tiny.n_layers):
        own = _latents(tiny, i) if "kv_lora_rank" in KINDS[tiny.kind] else _layer(tiny, i)
        if tiny.kind in NETS:
            own = _net_layer(tiny, i)
        elif tiny.kind in _CONVOLUTIONS:
            own = _lfm2(tiny, i)
        elif tiny.kind.startswith("nemotron"):
            own = _nemotron_layer(tiny, i)
        elif tiny.kind.startswith("granitehybrid"):
            own = _hybrid_layer(tiny, i)
        elif tiny.kind.startswith("gemma4"):
            own = _gemma4(tiny, i)
        for name, shape in own:
            yield f"{names[1]}.{i}.{name}", shape
    yield from _norm(tiny, names[2])
    if not tiny.tied:
        yield "lm_head.weight", (tiny.vocab_size, tiny.dim)
    for i in range(tiny.n_next):  # last, so that the others stay
        yield from _next_layer(tiny, i)


def _next_layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer that guesses a token further ahead, with what joins its input."""
    at = layer = f"model.layers.{tiny.n_layers + i}."
    joins = ("eh_proj", "enorm", "hnorm", "shared_head.norm")
    if tiny.kind in NETS:  # with attention, as one layer of so many has it
        at, layer = "mtp.", f"mtp.layers.{i}."
        joins = ("fc", "pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm")
        own = _net_layer(tiny, int(str(KINDS[tiny.kind]["full_attention_interval"])) - 1)
    elif "kv_lora_rank" in KINDS[tiny.kind]:
        own = _latents(tiny, tiny.n_layers + i)
    else:
        own = _layer(tiny, tiny.n_layers + i)
    for name, shape in own:
        yield layer + name, shape
    for name, shape in zip(joins, [(tiny.dim, 2 * tiny.dim), *[(tiny.dim,)] * 3], strict=True):
        yield f"{at}{name}.weight", shape


def _layer(tiny: Tiny, i: int) -> Iterator[Named]:
    q, kv = tiny.n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim
    biases = BIASES.get(tiny.kind, "").split()
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    out, names = "self_attn.o_proj", ("gate_proj", "up_proj", "down_proj")
    if tiny.kind == "starcoder":
        norms, out = ("ln_1", "ln_2"), "attn.c_proj"
    for name in NORMS.get(tiny.kind, norms):
        yield from _norm(tiny, name)
    if tiny.kind == "starcoder":
        yield from _linear("attn.c_attn", q + 2 * kv, tiny.dim, bias=True)
    else:
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            yield from _linear(f"self_attn.{name}_proj", rows, tiny.dim, "qkv" in biases)
    if tiny.kind in WHOLE_NORMS + HEAD_NORMS:
        whole = tiny.kind in WHOLE_NORMS
        yield "self_attn.q_norm.weight", (q if whole else tiny.head_dim,)
        yield "self_attn.k_norm.weight", (kv if whole else tiny.head_dim,)
    yield from _linear(out, tiny.dim, q, "o" in biases)
    if tiny.kind == "gpt_oss":
        yield "self_attn.sinks", (tiny.n_heads,)
        yield from _oss_experts(tiny)
        return
    if _has_experts(tiny, i):
        yield from _experts(tiny)
        return
    if tiny.kind.startswith("starcoder"):
        names = ("c_fc", "c_proj")
    if tiny.kind == "apertus":
        names = ("up_proj", "down_proj")
        for name in ("alpha_p", "alpha_n", "beta", "eps"):
            yield f"mlp.act_fn.{name}", () if name in CONSTANTS else (1,)
    if tiny.kind == "glm4":
        names = ("gate_up_proj", "down_proj")
    for name in names:
        rows, columns = tiny.hidden_dim * (1 + (name == "gate_up_proj")), tiny.dim
        if name == names[-1]:
            rows, columns = tiny.dim, tiny.hidden_dim
        yield from _linear(f"mlp.{name}", rows, columns, "mlp" in biases)


def _has_experts(tiny: Tiny, i: int) -> bool:
    if tiny.kind in ("ernie4_5_moe", "glm4_moe"):
        return i > 0
    return tiny.kind.startswith("granitemoe")


def _experts(tiny: Tiny) -> Iterator[Named]:
    """A layer's router and experts, under the names of checkpoints."""
    kind, width = FAMILIES[tiny.kind], tiny.hidden_dim

    def number(*names: str) -> int:
        return next((int(str(kind[name])) for name in names if name in kind), 0)

    if tiny.kind.startswith("granitemoe"):
        n, shared = number("num_local_experts"), number("shared_intermediate_size")
        yield "block_sparse_moe.router.layer.weight", (n, tiny.dim)
        yield "block_sparse_moe.input_linear.weight", (n, 2 * width, tiny.dim)
        yield "block_sparse_moe.output_linear.weight", (n, tiny.dim, width)
        if shared:
            yield "shared_mlp.input_linear.weight", (2 * shared, tiny.dim)
            yield "shared_mlp.output_linear.weight", (tiny.dim, shared)
        return
    n, width = number("moe_num_experts", "n_routed_experts"), number("moe_intermediate_size")
    shared = width * number("moe_num_shared_experts", "n_shared_experts")
    is_glm = tiny.kind == "glm4_moe"
    bias = "gate" if is_glm else "moe_statics"
    yield "mlp.gate.weight", (n, tiny.dim)
    yield f"mlp.{bias}.e_score_correction_bias", (n,) if is_glm else (1, n)
    for at, rows in [*((f"experts.{e}", width) for e in range(n)), ("shared_experts", shared)]:
        yield from _network(f"mlp.{at}", tiny.dim, rows)


def _hybrid_layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of Granite 4's."""
    c: dict[str, Any] = {**KINDS[tiny.kind], **_by_layer(tiny)}
    if c["layer_types"][i] == "attention":
        own = _attention(tiny, "self_attn")
    else:
        sizes = (c[f"mamba_{n}"] for n in ("n_heads", "d_head", "d_state", "n_groups", "d_conv"))
        own = _mamba("mamba", tiny.dim, *sizes)
    yield from _norm(tiny, "input_layernorm")
    yield from own
    yield from _norm(tiny, "post_attention_layernorm")
    n, width, shared = c["num_local_experts"], tiny.hidden_dim, c["shared_intermediate_size"]
    if n:
        yield "block_sparse_moe.router.layer.weight", (n, tiny.dim)
        yield "block_sparse_moe.input_linear.weight", (n, 2 * width, tiny.dim)
        yield "block_sparse_moe.output_linear.weight", (n, tiny.dim, width)
    yield "shared_mlp.input_linear.weight", (2 * shared, tiny.dim)
    yield "shared_mlp.output_linear.weight", (tiny.dim, shared)


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
            yield from _attention(tiny, "mixer")
        case "-":
            yield from _plain_network("mixer", tiny.dim, tiny.hidden_dim)
        case "E":
            yield "mixer.gate.weight", (c["n_routed_experts"], tiny.dim)
            yield "mixer.gate.e_score_correction_bias", (c["n_routed_experts"],)
            for e in range(c["n_routed_experts"]):
                name = f"mixer.experts.{e}"
                yield from _plain_network(name, tiny.dim, c["moe_intermediate_size"])
            width = c["moe_shared_expert_intermediate_size"]
            yield from _plain_network("mixer.shared_experts", tiny.dim, width)


def _attention(tiny: Tiny, name: str) -> Iterator[Named]:
    q, kv = tiny.n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim
    for kind, rows in (("q", q), ("k", kv), ("v", kv)):
        yield f"{name}.{kind}_proj.weight", (rows, tiny.dim)
    yield f"{name}.o_proj.weight", (tiny.dim, q)


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


def _plain_network(name: str, dim: int, width: int) -> Iterator[Named]:
    yield f"{name}.up_proj.weight", (width, dim)
    yield f"{name}.down_proj.weight", (dim, width)


def _latents(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of DeepSeek's."""
    c: dict[str, Any] = KINDS[tiny.kind]
    rank, nope, rope = c["kv_lora_rank"], c["qk_nope_head_dim"], c["qk_rope_head_dim"]
    yield from _norm(tiny, "input_layernorm")
    if c["q_lora_rank"]:
        yield "self_attn.q_a_proj.weight", (c["q_lora_rank"], tiny.dim)
        yield "self_attn.q_a_layernorm.weight", (c["q_lora_rank"],)
    q = ("q_b_proj", c["q_lora_rank"]) if c["q_lora_rank"] else ("q_proj", tiny.dim)
    yield f"self_attn.{q[0]}.weight", (tiny.n_heads * (nope + rope), q[1])
    yield "self_attn.kv_a_proj_with_mqa.weight", (rank + rope, tiny.dim)
    yield "self_attn.kv_a_layernorm.weight", (rank,)
    yield "self_attn.kv_b_proj.weight", (tiny.n_heads * (nope + c["v_head_dim"]), rank)
    yield "self_attn.o_proj.weight", (tiny.dim, tiny.n_heads * c["v_head_dim"])
    yield from _norm(tiny, "post_attention_layernorm")
    n, width = c.get("n_routed_experts", 0), tiny.hidden_dim
    if not n or i < c["first_k_dense_replace"]:
        yield from _network("mlp", tiny.dim, width)
        return
    yield "mlp.gate.weight", (n, tiny.dim)
    if tiny.kind != "deepseek_v2":
        yield "mlp.gate.e_score_correction_bias", (n,)
    width = c["moe_intermediate_size"]
    for e in range(n):
        yield from _network(f"mlp.experts.{e}", tiny.dim, width)
    yield from _network("mlp.shared_experts", tiny.dim, c["n_shared_experts"] * width)


def _gemma4_sizes(tiny: Tiny) -> dict[str, int]:
    """What its config.json says of sizes: the E sizes' last half of layers read others' keys."""
    return {
        "vocab_size_per_layer_input": tiny.vocab_size,
        "global_head_dim": 3 * tiny.head_dim,
        "num_global_key_value_heads": tiny.n_kv_heads // 2,
        "num_kv_shared_layers": tiny.n_layers // 2 if tiny.kind == "gemma4_e" else 0,
    }


def _per_layer_dim(tiny: Tiny) -> int:
    return int(str(FAMILIES[tiny.kind]["hidden_size_per_layer_input"]))


def _gemma4(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of Gemma 4's: by its kind, and by whether it has keys of its own."""
    c: dict[str, Any] = {**FAMILIES[tiny.kind], **_gemma4_sizes(tiny)}
    is_local = _by_layer(tiny)["layer_types"][i] == "sliding_attention"
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
    yield from _network("mlp", tiny.dim, tiny.hidden_dim * (1 + is_wide))
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


def _lfm2(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of LFM2's, of which some have experts behind the first."""
    c: dict[str, Any] = KINDS[tiny.kind]
    bias, dim, hidden = bool(c.get("conv_bias")), tiny.dim, tiny.hidden_dim
    yield "operator_norm.weight", (dim,)
    if _is_convolution(tiny, i):
        yield from _linear("conv.in_proj", 3 * dim, dim, bias)
        yield "conv.conv.weight", (dim, 1, c.get("conv_L_cache", 3))
        if bias:
            yield "conv.conv.bias", (dim,)
        yield from _linear("conv.out_proj", dim, dim, bias)
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


def _net_layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of Qwen3-Next or Qwen3.5."""
    c: dict[str, Any] = KINDS[tiny.kind]
    is_recurrent = (i + 1) % c["full_attention_interval"] != 0
    yield from _norm(tiny, "input_layernorm")
    yield from _delta_net(tiny, c) if is_recurrent else _gated_attention(tiny)
    yield from _norm(tiny, "post_attention_layernorm")
    n, width = c.get("num_experts", 0), c.get("moe_intermediate_size")
    if not n:
        yield from _network("mlp", tiny.dim, tiny.hidden_dim)
        return
    yield "mlp.gate.weight", (n, tiny.dim)
    yield "mlp.shared_expert_gate.weight", (1, tiny.dim)
    yield from _network("mlp.shared_expert", tiny.dim, c["shared_expert_intermediate_size"])
    if tiny.kind == "qwen3_next":
        for e in range(n):
            yield from _network(f"mlp.experts.{e}", tiny.dim, width)
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


def _network(name: str, dim: int, width: int) -> Iterator[Named]:
    for kind in ("gate", "up"):
        yield f"{name}.{kind}_proj.weight", (width, dim)
    yield f"{name}.down_proj.weight", (dim, width)


def _oss_experts(tiny: Tiny) -> Iterator[Named]:
    """All experts' matrices in one, with inputs before rows; gate and up in turns."""
    n = int(str(KINDS[tiny.kind]["num_local_experts"]))
    yield from _linear("mlp.router", n, tiny.dim, bias=True)
    for name, rows, columns in (
        ("gate_up_proj", 2 * tiny.hidden_dim, tiny.dim), ("down_proj", tiny.dim, tiny.hidden_dim),
    ):  # fmt: skip
        yield f"mlp.experts.{name}", (n, columns, rows)
        yield f"mlp.experts.{name}_bias", (n, rows)


def _norm(tiny: Tiny, name: str) -> Iterator[Named]:
    for kind in ("weight", "bias") if tiny.kind in LAYER_NORM else ("weight",):
        yield f"{name}.{kind}", (tiny.dim,)


def _linear(name: str, rows: int, columns: int, bias: bool) -> Iterator[Named]:
    yield f"{name}.weight", (rows, columns)
    if bias:
        yield f"{name}.bias", (rows,)


def experts(layer: str, tiny: Tiny, linear: Callable[[int, int, float], F32]) -> dict[str, F32]:
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


def config(tiny: Tiny) -> dict[str, object]:
    """config.json as transformers 4 writes it."""
    made = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "vocab_size": tiny.vocab_size,
        "hidden_size": tiny.dim,
        "intermediate_size": tiny.hidden_dim,
        "num_hidden_layers": tiny.n_layers,
        "num_attention_heads": tiny.n_heads,
        "num_key_value_heads": tiny.n_kv_heads,
        "head_dim": tiny.head_dim,
        "max_position_embeddings": tiny.n_ctx,
        "rms_norm_eps": tiny.norm_eps,
        "rope_theta": tiny.rope_theta,
        "rope_scaling": None,
        "tie_word_embeddings": tiny.tied,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
        **KINDS.get(tiny.kind, {}),
        **(_as_gpt(tiny) if tiny.kind == "starcoder" else {}),
        **_by_layer(tiny),
    }
    if tiny.kind.startswith("gemma4"):
        made |= _gemma4_sizes(tiny)
    if tiny.kind == "gemma4_unified":
        del made["hidden_size_per_layer_input"], made["vocab_size_per_layer_input"]
    if tiny.n_next and tiny.kind not in NETS:
        made["num_nextn_predict_layers"] = tiny.n_next
    if "layer_types" in made and "rope_parameters" in made:  # of which the other would be one
        del made["rope_scaling"]
    return made


def _by_layer(tiny: Tiny) -> dict[str, Any]:
    """What follows from the shape, or is listed for each layer: half of Laguna's heads where there
    is no window.
    """
    types, n = ["sliding_attention", "full_attention"], tiny.n_layers
    if tiny.kind.startswith("granitehybrid"):
        kinds = ["attention" if i % 3 == 1 else "mamba" for i in range(n)]
        return {"layer_types": kinds, "mamba_d_head": tiny.dim // 4}
    if tiny.kind.startswith("nemotron"):
        return {"hybrid_override_pattern": PATTERNS[tiny.kind][:n]}
    if tiny.kind == "qwen3_5_text":
        return {"layer_types": [("linear_attention", "full_attention")[i % 2] for i in range(n)]}
    if tiny.kind.startswith("gemma4"):
        return {"layer_types": [types[i % 2 or i == n - 1] for i in range(n)]}
    if tiny.kind == "mellum":
        return {"layer_types": [types[i % 2] for i in range(n)]}
    if tiny.kind in _CONVOLUTIONS:
        return {"layer_types": ["conv" if _is_convolution(tiny, i) else types[1]
                                for i in range(n)]}  # fmt: skip
    if tiny.kind == "laguna":
        return {
            "layer_types": [types[1 - i % 2] for i in range(n)],
            "num_attention_heads_per_layer": [tiny.n_heads // (2 - i % 2) for i in range(n)],
            "mlp_layer_types": ["dense"] + ["sparse"] * (n - 1),
        }
    return {}


def _as_gpt(tiny: Tiny) -> dict[str, object]:
    return {
        "n_embd": tiny.dim, "n_inner": tiny.hidden_dim, "n_layer": tiny.n_layers,
        "n_head": tiny.n_heads, "n_positions": tiny.n_ctx, "layer_norm_epsilon": tiny.norm_eps,
        "num_key_value_heads": 1,
    }  # fmt: skip


def save(tiny: Tiny, folder: Path) -> None:
    """Write the checkpoint as a Hugging Face folder with an invented vocabulary."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(tiny)))
    save_file(weights(tiny), folder / "model.safetensors", metadata={"format": "pt"})
    save_tokenizer(tiny.vocab_size, folder)


def words(n: int) -> list[str]:
    """The first n invented words, which follow the bytes; U+2581 is a space."""
    letters = "\u2581abcdefghijklmnopqrstuvwxyz"
    every = [*letters, *(a + b for a in letters for b in letters[1:])]
    if not 0 <= n <= len(every):
        raise ValueError(f"a vocabulary of {259 + n}: expected 259 to {259 + len(every)}")
    return every[:n]


def save_tokenizer(vocab_size: int, folder: Path) -> None:
    """Write tokenizer.model: control pieces, the 256 bytes, then invented words."""
    from sentencepiece import sentencepiece_model_pb2 as spm

    model = spm.ModelProto()
    model.trainer_spec.model_type = spm.TrainerSpec.BPE
    model.normalizer_spec.name = "identity"  # as Llama's
    model.normalizer_spec.remove_extra_whitespaces = False
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = vocab_size
    kind = spm.ModelProto.SentencePiece
    pieces = [("<unk>", kind.UNKNOWN), ("<s>", kind.CONTROL), ("</s>", kind.CONTROL)]
    pieces += [(f"<0x{i:02X}>", kind.BYTE) for i in range(N_BYTE_PIECES)]
    pieces += [(word, kind.NORMAL) for word in words(vocab_size - len(pieces))]
    for rank, (piece, piece_kind) in enumerate(pieces):
        score = -float(rank) if piece_kind == kind.NORMAL else 0.0
        model.pieces.add(piece=piece, score=score, type=piece_kind)
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
