"""Parts that families share: what a Llama layer's halves compute, and the tensors they take.

Source: the Llama papers (arXiv:2302.13971, 2307.09288); tensor names are GGUF's.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import (
    HEAD_NORMS,
    QKV,
    Attend,
    Embed,
    FeedForward,
    Norm,
    Project,
    Rope,
    Stage,
)
from halfbyte.families.tensors import OUTPUT, ROPE_FREQS, TensorSpec


def embedding() -> Iterator[Stage]:
    """x = token_embd[tokens]."""
    yield Embed()


def attention(i: int, *, biases: bool = False, norms: bool = False) -> Iterator[Stage]:
    """x += attn_output(attention(rope(attn_q n), rope(attn_k n), attn_v n)), n = RMSNorm(x)."""
    yield Norm("attn_norm", layer=i)
    yield Project(QKV, "normed", "qkv", layer=i)
    yield Rope(biases, norms, layer=i)
    yield Attend(layer=i)
    yield Project(("attn_output",), "attended", "x", adds=True, layer=i)


def feed_forward(i: int) -> Iterator[Stage]:
    """x += ffn_down(SiLU(ffn_gate n) * (ffn_up n)), n = RMSNorm(x)."""
    yield Norm("ffn_norm", layer=i)
    yield FeedForward("ffn_gate", "ffn_up", "ffn_down", layer=i)
    yield Project(("ffn_down",), "hidden", "x", adds=True, layer=i)


def logits(c: ModelConfig) -> Iterator[Stage]:
    """logits = output(RMSNorm(x)), for the rows that are asked for."""
    yield Norm("output_norm", of_logits=True)
    yield Project(("token_embd" if c.tied else "output",), "normed", "logits")


def embedding_tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What `embedding` takes."""
    yield TensorSpec("token_embd.weight", "model.embed_tokens.weight", (c.vocab_size, c.dim))


def attention_tensors(
    c: ModelConfig, i: int, *, biases: bool = False, norms: bool = False
) -> Iterator[TensorSpec]:
    """What `attention` takes."""
    at, hf = f"blk.{i}.", f"model.layers.{i}."
    rows = ((c.q_dim, c.n_heads), (c.kv_dim, c.n_kv_heads), (c.kv_dim, 0))
    yield TensorSpec(f"{at}attn_norm.weight", f"{hf}input_layernorm.weight", (c.dim,))
    for name, (n_rows, n_rotated) in zip(QKV, rows, strict=True):
        hf_name = f"{hf}self_attn.{name[-1]}_proj"
        shape = (n_rows, c.dim)
        yield TensorSpec(f"{at}{name}.weight", f"{hf_name}.weight", shape, n_rotated)
        if biases:
            yield TensorSpec(f"{at}{name}.bias", f"{hf_name}.bias", shape[:1], n_rotated)
    for name in HEAD_NORMS if norms else ():
        hf_name = f"{hf}self_attn.{name.removeprefix('attn_')}.weight"
        yield TensorSpec(f"{at}{name}.weight", hf_name, (c.head_dim,), 1)
    yield TensorSpec(f"{at}attn_output.weight", f"{hf}self_attn.o_proj.weight", (c.dim, c.q_dim))


def feed_forward_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """What `feed_forward` takes."""
    at, hf = f"blk.{i}.", f"model.layers.{i}."
    wide, narrow = (c.hidden_dim, c.dim), (c.dim, c.hidden_dim)
    yield TensorSpec(f"{at}ffn_norm.weight", f"{hf}post_attention_layernorm.weight", (c.dim,))
    yield TensorSpec(f"{at}ffn_gate.weight", f"{hf}mlp.gate_proj.weight", wide)
    yield TensorSpec(f"{at}ffn_up.weight", f"{hf}mlp.up_proj.weight", wide)
    yield TensorSpec(f"{at}ffn_down.weight", f"{hf}mlp.down_proj.weight", narrow)


def logits_tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What `logits` takes, and the divisors of rotary embedding."""
    yield TensorSpec("output_norm.weight", "model.norm.weight", (c.dim,))
    if not c.tied:
        yield TensorSpec(OUTPUT, "lm_head.weight", (c.vocab_size, c.dim))
    yield TensorSpec(ROPE_FREQS, "", (c.head_dim // 2,), may_lack=True)
