"""Apertus: norms of q's and k's heads, and a network without a gate, whose activation is xIELU.

Source: arXiv:2509.14233. A GGUF file has q and k in the order of halves.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.stages import FeedForward, Norm, Stage
from halfbyte.families.tensors import TensorSpec
from halfbyte.families.xielu import XIELU_KEYS


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield from blocks.attention(c, i, norms=True)
        yield Norm("ffn_norm", layer=i)
        yield FeedForward("", "ffn_up", "ffn_down", "xielu", layer=i)
        yield blocks.joined(c, i, "ffn_down", "hidden", bias=False)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        at, hf = f"blk.{i}.", f"model.layers.{i}."
        yield from blocks.norm_tensors(f"{at}attn_norm", f"{hf}attention_layernorm", c.dim)
        yield from blocks.projection_tensors(c, i, biases=c.qkv_bias, norms=True)
        yield from blocks.norm_tensors(f"{at}ffn_norm", f"{hf}feedforward_layernorm", c.dim)
        wide, narrow = (c.hidden_dim, c.dim), (c.dim, c.hidden_dim)
        yield from blocks.linear_tensors(f"{at}ffn_up", f"{hf}mlp.up_proj", wide)
        yield from blocks.linear_tensors(f"{at}ffn_down", f"{hf}mlp.down_proj", narrow)
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="apertus",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "apertus": {
            **DEFAULTS,
            "intermediate_size": 14336,
            "vocab_size": 131072,
            "max_position_embeddings": 65536,
            "num_key_value_heads": None,  # as many as heads
            "rms_norm_eps": 1e-5,
            "rope_theta": 12000000.0,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 12000000.0,
                "factor": 8.0,
                "original_max_position_embeddings": 8192,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
            },
        },
    },
    only={"hidden_act": "xielu"},
    reads=frozenset(XIELU_KEYS.values()),
    biases={"attention_bias": ("qkv_bias", "out_bias")},
)
