"""Qwen1.5 and Qwen2 with experts: Qwen2-57B-A14B (arXiv:2407.10671).

Beside a token's experts there is a shared one, weighed by a sigmoid of its own. Scores are not
divided by their sum.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.experts import Names, network, network_tensors
from halfbyte.families.family import DEFAULTS, ExpertRules, Family
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec

_NAMES = Names(shared="mlp.shared_expert", shared_gate="mlp.shared_expert_gate.weight")


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield from blocks.attention(c, i, biases=True)
        yield from network(c, i, _NAMES)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        yield from blocks.attention_tensors(c, i, biases=True)
        yield from network_tensors(c, i, _NAMES)
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="qwen2moe",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "qwen2_moe": {
            **DEFAULTS,
            "hidden_size": 2048,
            "intermediate_size": 5632,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "num_experts": 60,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1408,
            "shared_expert_intermediate_size": 5632,
            "max_window_layers": 28,
        },
    },
    only={
        "qkv_bias": True,
        "use_sliding_window": False,
    },
    experts=ExpertRules(
        hf={
            "n_experts": "num_experts num_local_experts",
            "n_used": "num_experts_per_tok",
            "hidden_dim": "moe_intermediate_size",
            "shared_dim": "shared_expert_intermediate_size",
            "normalizes": "norm_topk_prob",
            "every": "decoder_sparse_step",
            "dense_layers": "mlp_only_layers",
        },
        normalizes=False,
        has_shared=True,
    ),
)
