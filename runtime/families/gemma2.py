"""Gemma 2: norms before and behind attention and network, soft caps, a window in every other layer.

Source: arXiv:2408.00118. A GGUF file has q and k in the order of halves, and does not say that the
scores of the model with 46 layers are scaled by their share of the width, not by the head's.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig, option_keys
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.gemma import with_larger_norms
from halfbyte.families.neutral import among
from halfbyte.families.stages import Attend, Embed, FeedForward, Norm, Rope, Stage
from halfbyte.families.tensors import TensorSpec

# GGUF's name of a norm -> the checkpoint's.
_NORMS = {
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
READS = option_keys("attn_softcap", "final_softcap") | {
    "query_pre_attn_scalar", "attention.scale", "attention.sliding_window",
    "attention.sliding_window_pattern", "sliding_window_size", "sliding_window_pattern",
}  # fmt: skip
DEFAULTS_OF_BOTH = {
    **DEFAULTS,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "tie_word_embeddings": True,
}


def stages(c: ModelConfig, *, norms: bool = False) -> Iterator[Stage]:
    """The forward pass; Gemma 3 has norms of q's and k's heads."""
    yield Embed(scale=c.dim**0.5)
    for i in range(c.n_layers):
        yield Norm("attn_norm", layer=i)
        yield blocks.qkv(i)
        yield Rope(norms=norms, layer=i)
        yield Attend(layer=i)
        yield from blocks.branch(i, "attn_output", "attended", "post_attention_norm")
        yield Norm("ffn_norm", layer=i)
        yield FeedForward("ffn_gate", "ffn_up", "ffn_down", "gelu_tanh", layer=i)
        yield from blocks.branch(i, "ffn_down", "hidden", "post_ffw_norm")
    yield from blocks.logits(c)


def tensors(c: ModelConfig, *, norms: bool = False) -> Iterator[TensorSpec]:
    """What it takes."""
    return with_larger_norms(_tensors(c, norms))


def _tensors(c: ModelConfig, norms: bool) -> Iterator[TensorSpec]:
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        for name, hf_name in _NORMS.items():
            yield from blocks.norm_tensors(f"blk.{i}.{name}", f"model.layers.{i}.{hf_name}", c.dim)
        yield from blocks.projection_tensors(c, i, norms=norms)
        yield from blocks.network_tensors(c, i)
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="gemma2",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "gemma2": {
            **DEFAULTS_OF_BOTH,
            "vocab_size": 256000,
            "max_position_embeddings": 8192,
            "final_logit_softcapping": 30.0,
            "attn_logit_softcapping": 50.0,
        },
    },
    only={
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "sliding_window_pattern": among(None, 2),
    },
    reads=READS,
    full_every=2,
    wide_scores=46,
)
