"""Gemma 1, CodeGemma too: Llama with GeGLU, scaled embeddings and norms of 1 + weight.

Checkpoints store what a norm's weight exceeds 1 by, GGUF the weight (arXiv:2403.08295). A GGUF file
has q and k in the order of halves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from halfbyte.families import blocks, llama
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.neutral import among
from halfbyte.families.stages import Embed, Stage
from halfbyte.families.tensors import ROPE_FREQS, TensorSpec


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield Embed(scale=c.dim**0.5)
    for i in range(c.n_layers):
        yield from blocks.attention(c, i)
        yield from blocks.feed_forward(c, i, activation="gelu_tanh")
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    return with_larger_norms(llama.tensors(c))


def with_larger_norms(specs: Iterator[TensorSpec]) -> Iterator[TensorSpec]:
    """Norms that multiply by 1 more than what a checkpoint has."""
    for spec in specs:
        is_norm = len(spec.shape) == 1 and spec.name != ROPE_FREQS
        yield replace(spec, adds=1.0) if is_norm else spec


FAMILY = Family(
    architecture="gemma",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "gemma": {
            **DEFAULTS,
            "hidden_size": 3072,
            "intermediate_size": 24576,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "head_dim": 256,
            "vocab_size": 256000,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": True,
        },
    },
    # The first files said "gelu" and meant this one.
    only={
        "hidden_act": among(None, "gelu", "gelu_pytorch_tanh"),
        "hidden_activation": among(None, "gelu_pytorch_tanh"),
        "attention_bias": False,
    },
)
