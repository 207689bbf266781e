"""DeepSeek-V2 and V3, GLM-4.7-Flash: attention to compressed keys and values (MLA), and experts.

DeepSeek-Coder-V2 (arXiv:2406.11931) weighs experts by the softmax of all of them; DeepSeek-V3
(arXiv:2412.19437) and what is built like it (Kimi K2, Moonlight, GLM-4.7-Flash) by the sigmoid of
each, and chooses them with a bias. Groups of experts count by their best one in V2, by their best
two in V3. Youtu-LLM has no experts. Sources: DeepSeek-V2, arXiv:2405.04434; transformers' classes.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import LOG_MULTIPLIER_KEY, ModelConfig
from halfbyte.families.experts import Names, network, network_tensors
from halfbyte.families.family import DEFAULTS, ExpertRules, Family, NextNames
from halfbyte.families.latent import attention, attention_tensors
from halfbyte.families.neutral import among
from halfbyte.families.next_tokens import NEXT_KEYS
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec

_SHARED, _BIAS = "mlp.shared_experts", "mlp.gate.e_score_correction_bias"


def _names(c: ModelConfig) -> Names:
    is_sigmoid = c.experts is not None and c.experts.gating == "sigmoid"
    return Names(shared=_SHARED, selection_bias=_BIAS if is_sigmoid else "")


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield from attention(c, i)
        yield from network(c, i, _names(c))
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        yield from attention_tensors(c, i)
        yield from network_tensors(c, i, _names(c))
    yield from blocks.logits_tensors(c)


_SIZES = {
    **DEFAULTS,
    "num_key_value_heads": None,  # as many as heads
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "q_lora_rank": 1536,
}
_V3 = {
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "norm_topk_prob": True,
}

FAMILY = Family(
    architecture="deepseek2",
    rotates_halves=False,
    hf_neighbours=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "deepseek_v2": {
            **_SIZES,
            "vocab_size": 102400,
            "intermediate_size": 11008,
            "max_position_embeddings": 2048,
            "scoring_func": "softmax",
            "topk_method": "greedy",
            "norm_topk_prob": False,
            "n_routed_experts": 64,
            "n_shared_experts": 2,
            "moe_intermediate_size": 1407,
            "num_experts_per_tok": 6,
            "first_k_dense_replace": 0,
        },
        "deepseek_v3": {
            **_SIZES,
            **_V3,
            "vocab_size": 129280,
            "hidden_size": 7168,
            "intermediate_size": 18432,
            "num_hidden_layers": 61,
            "num_attention_heads": 128,
            "max_position_embeddings": 4096,
            "n_routed_experts": 256,
            "n_shared_experts": 1,
            "moe_intermediate_size": 2048,
            "num_experts_per_tok": 8,
            "first_k_dense_replace": 3,
            "routed_scaling_factor": 2.5,
            "n_group": 8,
            "topk_group": 4,
        },
        "glm4_moe_lite": {
            **_SIZES,
            **_V3,
            "vocab_size": 154880,
            "hidden_size": 2048,
            "intermediate_size": 10240,
            "num_hidden_layers": 47,
            "num_attention_heads": 20,
            "max_position_embeddings": 202752,
            "rms_norm_eps": 1e-5,
            "q_lora_rank": 768,
            "qk_nope_head_dim": 192,
            "v_head_dim": 256,
            "n_routed_experts": 64,
            "n_shared_experts": 1,
            "moe_intermediate_size": 1536,
            "num_experts_per_tok": 4,
            "first_k_dense_replace": 1,
            "routed_scaling_factor": 1.8,
        },
        "youtu": {
            **_SIZES,
            "vocab_size": 128256,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_attention_heads": 16,
            "max_position_embeddings": 131072,
            "tie_word_embeddings": True,
        },
    },
    only={
        "attention_bias": False,
        "mlp_bias": False,
        "moe_layer_freq": among(None, 1),
        "rope_interleave": among(None, True),
        "partial_rotary_factor": among(None, 1),
        "ep_size": among(None, 1),
    },
    experts=ExpertRules(
        hf={
            "n_experts": "n_routed_experts",
            "n_used": "num_experts_per_tok",
            "hidden_dim": "moe_intermediate_size",
            "n_shared": "n_shared_experts",
            "n_dense_layers": "first_k_dense_replace",
            "kinds": "mlp_layer_types",
            "normalizes": "norm_topk_prob",
            "scale": "routed_scaling_factor",
            "n_groups": "n_group",
            "n_groups_used": "topk_group",
        },
        normalizes=False,
        may_lack=True,
        states_norm=True,
    ),
    reads=NEXT_KEYS | {
        "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
        "qk_head_dim", "scoring_func", "topk_method", "aux_loss_alpha", "seq_aux",
        "attention.q_lora_rank", "attention.kv_lora_rank", "attention.key_length_mla",
        "attention.value_length_mla", "rope.dimension_count", "leading_dense_block_count",
        "expert_shared_count", LOG_MULTIPLIER_KEY,
    },
    has_latents=True,
    next_names=NextNames(),
)  # fmt: skip
