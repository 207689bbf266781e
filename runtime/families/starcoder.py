"""StarCoder, and other models of GPT-BigCode: learned positions, all heads on one key and value.

Source: arXiv:2305.06161. q, k and v are one matrix; nothing is rotated.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import Key, ModelConfig
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.stages import (
    FUSED_QKV,
    QKV,
    Attend,
    Embed,
    FeedForward,
    Norm,
    Rope,
    Stage,
)
from halfbyte.families.tensors import TensorSpec


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield Embed(positions="position_embd")
    for i in range(c.n_layers):
        yield Norm("attn_norm", centers=True, bias=True, layer=i)
        yield blocks.qkv(i, is_fused=True)
        yield Rope(biases=True, is_fused=True, layer=i)
        yield Attend(layer=i)
        yield blocks.joined(c, i, "attn_output", "attended", bias=True)
        yield Norm("ffn_norm", centers=True, bias=True, layer=i)
        yield FeedForward("", "ffn_up", "ffn_down", "gelu_tanh", bias=True, layer=i)
        yield blocks.joined(c, i, "ffn_down", "hidden", bias=True)
    yield Norm("output_norm", of_logits=True, centers=True, bias=True)
    yield blocks.head(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield TensorSpec("token_embd.weight", "transformer.wte.weight", (c.vocab_size, c.dim))
    yield TensorSpec("position_embd.weight", "transformer.wpe.weight", (c.n_ctx_train, c.dim))
    rows, wide = (c.q_dim, c.kv_dim, c.kv_dim), (c.hidden_dim, c.dim)
    for i in range(c.n_layers):
        at, hf = f"blk.{i}.", f"transformer.h.{i}."
        parts = tuple((f"{at}{name}.weight", n) for name, n in zip(QKV, rows, strict=True))
        name, shape = f"{hf}attn.c_attn", (sum(rows), c.dim)
        yield from blocks.norm_tensors(f"{at}attn_norm", f"{hf}ln_1", c.dim, bias=True)
        yield TensorSpec(f"{at}{FUSED_QKV}.weight", f"{name}.weight", shape, parts=parts)
        yield TensorSpec(f"{at}{FUSED_QKV}.bias", f"{name}.bias", shape[:1])
        name, shape = f"{at}attn_output", (c.dim, c.q_dim)
        yield from blocks.linear_tensors(name, f"{hf}attn.c_proj", shape, bias=True)
        yield from blocks.norm_tensors(f"{at}ffn_norm", f"{hf}ln_2", c.dim, bias=True)
        yield from blocks.linear_tensors(f"{at}ffn_up", f"{hf}mlp.c_fc", wide, bias=True)
        yield from blocks.linear_tensors(f"{at}ffn_down", f"{hf}mlp.c_proj", wide[::-1], bias=True)
    yield from blocks.norm_tensors("output_norm", "transformer.ln_f", c.dim, bias=True)
    if not c.tied:
        yield from blocks.linear_tensors("output", "lm_head", (c.vocab_size, c.dim))


FAMILY = Family(
    architecture="starcoder",
    rotates_halves=False,
    stages=stages,
    tensors=tensors,
    defaults={
        "gpt_bigcode": {
            **DEFAULTS,
            "vocab_size": 50257,
            "n_positions": 1024,
            "n_embd": 768,
            "n_layer": 12,
            "n_head": 12,
            "num_key_value_heads": 1,
            "n_inner": None,  # four times the width
            "layer_norm_epsilon": 1e-5,
            "tie_word_embeddings": True,
        },
    },
    only={
        "activation_function": "gelu_pytorch_tanh",
        "multi_query": True,
        "scale_attn_weights": True,
        "add_cross_attention": False,
        "num_key_value_heads": 1,
    },
    own_keys={
        "n_ctx_train": Key("context_length", "n_positions"),
        "dim": Key("embedding_length", "n_embd"),
        "n_layers": Key("block_count", "n_layer"),
        "n_heads": Key("attention.head_count", "n_head"),
        "hidden_dim": Key("feed_forward_length", "n_inner"),
        "norm_eps": Key("attention.layer_norm_epsilon", "layer_norm_epsilon"),
    },
    unrotated_every=1,
    learned_positions=True,
)
