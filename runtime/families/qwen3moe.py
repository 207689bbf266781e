"""Qwen3 with experts: Qwen3-30B-A3B, Qwen3-Coder-30B-A3B (arXiv:2505.09388).

Every layer's network is a choice of experts: softmax, the best few, divided by their sum.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.experts import Names, network, network_tensors
from halfbyte.families.family import DEFAULTS, ExpertRules, Family
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec

_NAMES = Names()


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield from blocks.attention(c, i, norms=True)
        yield from network(c, i, _NAMES)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        yield from blocks.attention_tensors(c, i, norms=True)
        yield from network_tensors(c, i, _NAMES)
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="qwen3moe",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "qwen3_moe": {
            **DEFAULTS,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
            "num_hidden_layers": 24,
            "num_key_value_heads": 4,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 768,
            "max_window_layers": 28,
            "norm_topk_prob": False,  # which all published ones set
        },
    },
    only={
        "attention_bias": False,
        "use_sliding_window": False,
    },
    experts=ExpertRules(
        hf={
            "n_experts": "num_experts num_local_experts",
            "n_used": "num_experts_per_tok",
            "hidden_dim": "moe_intermediate_size",
            "normalizes": "norm_topk_prob",
            "every": "decoder_sparse_step",
            "dense_layers": "mlp_only_layers",
        },
    ),
)
