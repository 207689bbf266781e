"""DeepSeek and its relatives: attention to compressed keys and values, some with experts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .parts import network, norm
from .spec import Config, Named, Tiny

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


KINDS: dict[str, Config] = {
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
    "youtu": {"model_type": "youtu", "architectures": ["YoutuForCausalLM"], **_HEADS,
              "q_lora_rank": 64},
}  # fmt: skip


def of_shape(tiny: Tiny) -> Config:
    """What config.json says that follows from the shape: nothing."""
    return {}


def layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer of DeepSeek's."""
    c: dict[str, Any] = KINDS[tiny.kind]
    rank, nope, rope = c["kv_lora_rank"], c["qk_nope_head_dim"], c["qk_rope_head_dim"]
    yield from norm(tiny, "input_layernorm")
    if c["q_lora_rank"]:
        yield "self_attn.q_a_proj.weight", (c["q_lora_rank"], tiny.dim)
        yield "self_attn.q_a_layernorm.weight", (c["q_lora_rank"],)
    q = ("q_b_proj", c["q_lora_rank"]) if c["q_lora_rank"] else ("q_proj", tiny.dim)
    yield f"self_attn.{q[0]}.weight", (tiny.n_heads * (nope + rope), q[1])
    yield "self_attn.kv_a_proj_with_mqa.weight", (rank + rope, tiny.dim)
    yield "self_attn.kv_a_layernorm.weight", (rank,)
    yield "self_attn.kv_b_proj.weight", (tiny.n_heads * (nope + c["v_head_dim"]), rank)
    yield "self_attn.o_proj.weight", (tiny.dim, tiny.n_heads * c["v_head_dim"])
    yield from norm(tiny, "post_attention_layernorm")
    n, width = c.get("n_routed_experts", 0), tiny.hidden_dim
    if not n or i < c["first_k_dense_replace"]:
        yield from network("mlp", tiny.dim, width)
        return
    yield "mlp.gate.weight", (n, tiny.dim)
    if tiny.kind != "deepseek_v2":
        yield "mlp.gate.e_score_correction_bias", (n,)
    width = c["moe_intermediate_size"]
    for e in range(n):
        yield from network(f"mlp.experts.{e}", tiny.dim, width)
    yield from network("mlp.shared_experts", tiny.dim, c["n_shared_experts"] * width)
