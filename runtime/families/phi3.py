"""Phi-3 and Phi-4: Llama with q, k and v in one tensor, and gate and up in another.

Contexts are stretched by LongRoPE, and Phi-4-mini rotates three quarters of a head (Abdin et al.,
arXiv:2404.14219 and 2503.01743). A GGUF file has q and k in the order of halves. The window that
some of them state is used, as in transformers (llama.cpp leaves it out).
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield from blocks.attention(c, i, is_fused=True)
        yield from blocks.feed_forward(c, i, is_fused=True)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        yield from blocks.fused_attention_tensors(c, i)
        yield from blocks.fused_feed_forward_tensors(c, i)
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="phi3",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "phi3": {
            **DEFAULTS,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_key_value_heads": None,  # as many as heads
            "rms_norm_eps": 1e-5,
            "vocab_size": 32064,
            "max_position_embeddings": 4096,
            "original_max_position_embeddings": 4096,
            "sliding_window": None,
        },
    },
    only={"attention_bias": False, "mlp_bias": False},
    reads=frozenset({"partial_rotary_factor", "rope.dimension_count", "attention.sliding_window"}),
)
