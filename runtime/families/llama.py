"""Llama, and what is built like it: Code Llama, TinyLlama, SmolLM2, DeepSeek-Coder; Mistral; and
Mixtral, whose networks are two experts of eight (arXiv:2401.04088).

Pre-norm layers of grouped attention with rotary embedding and a SwiGLU network (Touvron et al.,
arXiv:2302.13971 and 2307.09288); Mistral's attention sees a window (Jiang et al.,
arXiv:2310.06825). Some have biases everywhere. llama.cpp's converter puts q and k into the order of
neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.experts import Names, network, network_tensors
from halfbyte.families.family import DEFAULTS, ExpertRules, Family
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec

_NAMES = Names(
    experts=(
        "block_sparse_moe.experts.{}.w1.weight",
        "block_sparse_moe.experts.{}.w3.weight",
        "block_sparse_moe.experts.{}.w2.weight",
    ),
    router="block_sparse_moe.gate.weight",
)


def stages(
    c: ModelConfig, *, names: Names = _NAMES, biases: bool = False, norms: bool = False
) -> Iterator[Stage]:
    """The forward pass.

    Relatives have experts under other names, biases of q, k and v, or norms of q's and k's heads.
    """
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield from blocks.attention(c, i, biases=biases, norms=norms or c.head_norms)
        yield from network(c, i, names)
    yield from blocks.logits(c)


def tensors(
    c: ModelConfig, *, names: Names = _NAMES, biases: bool = False, norms: bool = False
) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        yield from blocks.attention_tensors(c, i, biases=biases, norms=norms or c.head_norms)
        yield from network_tensors(c, i, names)
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="llama",
    rotates_halves=False,
    stages=stages,
    tensors=tensors,
    defaults={
        "llama": {
            **DEFAULTS,
            "intermediate_size": 11008,
            "vocab_size": 32000,
            "max_position_embeddings": 2048,
            "num_key_value_heads": None,  # as many as heads
        },
        "mistral": {
            **DEFAULTS,
            "intermediate_size": 14336,
            "vocab_size": 32000,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 8,
            "sliding_window": 4096,
        },
        "mixtral": {
            **DEFAULTS,
            "intermediate_size": 14336,
            "vocab_size": 32000,
            "max_position_embeddings": 131072,
            "num_key_value_heads": 8,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e6,
            "sliding_window": None,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
        },
    },
    only={},
    biases={"attention_bias": ("qkv_bias", "out_bias"), "mlp_bias": ("mlp_bias",)},
    experts=ExpertRules(
        hf={"n_experts": "num_local_experts", "n_used": "num_experts_per_tok"},
        may_lack=True,
        is_wide=True,
    ),
)
