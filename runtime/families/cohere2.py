"""Command R7B (Cohere 2): attention and network side by side, LayerNorm without biases.

Both take the same norm of x, and what both give joins x. Three of four layers have a window, and
the others do not rotate queries and keys; logits are multiplied by a number that files state. q and
k are in the order of neighbours, in checkpoints too. Source: arXiv:2504.00698.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from halfbyte.families import blocks
from halfbyte.families.config import Key, ModelConfig
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.neutral import OFF, ONE, among
from halfbyte.families.stages import Attend, FeedForward, Norm, Rope, Stage
from halfbyte.families.tensors import TensorSpec


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield Norm("attn_norm", centers=True, layer=i)
        yield blocks.qkv(i)
        yield FeedForward("ffn_gate", "ffn_up", "ffn_down", layer=i)  # while x is what it was
        yield Rope(layer=i)
        yield Attend(layer=i)
        yield blocks.joined(c, i, "attn_output", "attended", bias=False)
        yield blocks.joined(c, i, "ffn_down", "hidden", bias=False)
    yield Norm("output_norm", of_logits=True, centers=True)
    yield replace(blocks.head(c), scale=c.logit_scale)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        yield from blocks.attention_tensors(c, i)
        yield from blocks.network_tensors(c, i)
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="cohere2",
    rotates_halves=False,
    hf_neighbours=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "cohere2": {
            **DEFAULTS,
            "hidden_size": 8192,
            "intermediate_size": 22528,
            "num_hidden_layers": 40,
            "num_attention_heads": 64,
            "num_key_value_heads": None,  # as many as heads
            "vocab_size": 256000,
            "max_position_embeddings": 8192,
            "layer_norm_eps": 1e-5,
            "logit_scale": 0.0625,
            "sliding_window": 4096,
            "tie_word_embeddings": True,
        },
    },
    only={
        "attention_bias": False,
        "position_embedding_type": among(None, "rope", "rope_gptj"),
        "rotary_pct": ONE,
        "use_parallel_block": among(None, True),
        "use_qk_norm": OFF,
    },
    own_keys={
        "norm_eps": Key("attention.layer_norm_epsilon", "layer_norm_eps"),
        "logit_scale": Key("logit_scale", "logit_scale"),
    },
    reads=frozenset(
        {
            "logit_scale",
            "sliding_window_pattern",
            "attention.sliding_window",
            "attention.sliding_window_pattern",
            "rope.freq_base_swa",
        }
    ),
    full_every=4,
    rotates_in_windows=True,
)
