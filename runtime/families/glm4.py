"""GLM-4's dense models of 2025: norms on both sides, half of each head rotated, gate and up in one.

Source: transformers' modeling_glm4.py. Checkpoints have the rotated features of q and k in the
order of neighbours, and so has GGUF.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.stages import Attend, FeedForward, Norm, Rope, Stage
from halfbyte.families.tensors import TensorSpec

# GGUF's name of a norm -> the checkpoint's.
_NORMS = {
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_self_attn_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_mlp_layernorm",
}


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield Norm("attn_norm", layer=i)
        yield blocks.qkv(i)
        yield Rope(c.qkv_bias, layer=i)
        yield Attend(layer=i)
        yield from blocks.branch(i, "attn_output", "attended", "post_attention_norm")
        yield Norm("ffn_norm", layer=i)
        yield FeedForward("ffn_gate", "ffn_up", "ffn_down", is_fused=True, layer=i)
        yield from blocks.branch(i, "ffn_down", "hidden", "post_ffw_norm")
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        for name, hf_name in _NORMS.items():
            yield from blocks.norm_tensors(f"blk.{i}.{name}", f"model.layers.{i}.{hf_name}", c.dim)
        yield from blocks.projection_tensors(c, i, biases=c.qkv_bias)
        _, *network = blocks.fused_feed_forward_tensors(c, i)
        yield from network
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="glm4",
    rotates_halves=False,
    hf_neighbours=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "glm4": {
            **DEFAULTS,
            "intermediate_size": 13696,
            "num_hidden_layers": 40,
            "num_key_value_heads": 2,
            "head_dim": 128,
            "rms_norm_eps": 1.5625e-07,
            "vocab_size": 151552,
            "max_position_embeddings": 131072,
            "partial_rotary_factor": 0.5,
            "attention_bias": True,
        },
    },
    only={},
    reads=frozenset({"partial_rotary_factor", "rope.dimension_count"}),
    biases={"attention_bias": ("qkv_bias",)},
)
