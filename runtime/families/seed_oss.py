"""Seed-OSS: Llama with biases of q, k and v, and a name of its own for the second norm.

Biases of attention's output and of the network are in its code, and in none of its models. A GGUF
file has q and k in the order of halves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from halfbyte.families import blocks, llama
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.stages import Norm, Stage
from halfbyte.families.tensors import TensorSpec

_NORM = "post_attention_norm"  # which stands before the network, as anywhere else


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield from blocks.attention(c, i)
        _, *network = blocks.feed_forward(c, i)
        yield from (Norm(_NORM, layer=i), *network)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    for spec in llama.tensors(c):
        yield replace(spec, name=spec.name.replace("ffn_norm", _NORM))


FAMILY = Family(
    architecture="seed_oss",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "seed_oss": {
            **DEFAULTS,
            "intermediate_size": 27648,
            "num_hidden_layers": 64,
            "num_attention_heads": 80,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 155136,
            "max_position_embeddings": 524288,
            "attention_bias": True,
        },
    },
    only={},
    biases={
        "attention_bias": ("qkv_bias",),
        "attention_out_bias": ("out_bias",),
        "mlp_bias": ("mlp_bias",),
    },
)
