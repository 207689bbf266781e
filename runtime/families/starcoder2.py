"""StarCoder2: LayerNorm, biases everywhere, and a network of two matrices (arXiv:2402.19173).

A GGUF file has q and k in the order of halves. The window, where there is one, holds in all layers.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import Key, ModelConfig
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.stages import QKV, Attend, FeedForward, Norm, Project, Rope, Stage
from halfbyte.families.tensors import TensorSpec


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield Norm("attn_norm", centers=True, bias=True, layer=i)
        yield Project(QKV, "normed", "qkv", layer=i)
        yield Rope(biases=True, layer=i)
        yield Attend(layer=i)
        yield blocks.joined(c, i, "attn_output", "attended", bias=True)
        yield Norm("ffn_norm", centers=True, bias=True, layer=i)
        yield FeedForward("", "ffn_up", "ffn_down", "gelu_tanh", bias=True, layer=i)
        yield blocks.joined(c, i, "ffn_down", "hidden", bias=True)
    yield Norm("output_norm", of_logits=True, centers=True, bias=True)
    yield blocks.head(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        at, hf = f"blk.{i}.", f"model.layers.{i}."
        yield from blocks.norm_tensors(f"{at}attn_norm", f"{hf}input_layernorm", c.dim, bias=True)
        yield from blocks.projection_tensors(c, i, biases=True, out_bias=True)
        name = f"{hf}post_attention_layernorm"
        yield from blocks.norm_tensors(f"{at}ffn_norm", name, c.dim, bias=True)
        up, down = (c.hidden_dim, c.dim), (c.dim, c.hidden_dim)
        yield from blocks.linear_tensors(f"{at}ffn_up", f"{hf}mlp.c_fc", up, bias=True)
        yield from blocks.linear_tensors(f"{at}ffn_down", f"{hf}mlp.c_proj", down, bias=True)
    yield from blocks.norm_tensors("output_norm", "model.norm", c.dim, bias=True)
    yield from blocks.head_tensors(c)


FAMILY = Family(
    architecture="starcoder2",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "starcoder2": {
            **DEFAULTS,
            "hidden_size": 3072,
            "intermediate_size": 12288,
            "num_hidden_layers": 30,
            "num_attention_heads": 24,
            "num_key_value_heads": 2,
            "vocab_size": 49152,
            "max_position_embeddings": 4096,
            "norm_epsilon": 1e-5,
            "sliding_window": None,
            "tie_word_embeddings": True,
        },
    },
    only={"hidden_act": "gelu_pytorch_tanh", "use_bias": True},
    own_keys={"norm_eps": Key("attention.layer_norm_epsilon", "norm_epsilon")},
)
