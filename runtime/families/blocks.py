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
    PostNorm,
    Project,
    Rope,
    Stage,
)
from halfbyte.families.tensors import OUTPUT, ROPE_FREQS, TensorSpec


def embedding(c: ModelConfig) -> Iterator[Stage]:
    """x = token_embd[tokens]."""
    yield Embed(scale=c.embedding_scale)


def attention(
    c: ModelConfig, i: int, *, biases: bool = False, norms: bool = False
) -> Iterator[Stage]:
    """x += attn_output(attention(rope(attn_q n), rope(attn_k n), attn_v n)), n = RMSNorm(x)."""
    biases = biases or c.qkv_bias
    yield Norm("attn_norm", layer=i)
    yield Project(QKV, "normed", "qkv", layer=i)
    yield Rope(biases, norms, layer=i)
    yield Attend(layer=i)
    yield joined(c, i, "attn_output", "attended", bias=c.out_bias)


def feed_forward(c: ModelConfig, i: int, *, activation: str = "silu") -> Iterator[Stage]:
    """x += ffn_down(SiLU(ffn_gate n) * (ffn_up n)), n = RMSNorm(x)."""
    yield Norm("ffn_norm", layer=i)
    yield FeedForward("ffn_gate", "ffn_up", "ffn_down", activation, c.mlp_bias, layer=i)
    yield joined(c, i, "ffn_down", "hidden", bias=c.mlp_bias)


def joined(c: ModelConfig, i: int, name: str, source: str, *, bias: bool) -> Stage:
    """x += scale (W source + bias)."""
    scale = c.residual_scale
    return Project((name,), source, "x", adds=True, bias=bias, scale=scale, layer=i)


def branch(i: int, name: str, source: str, norm: str) -> Iterator[Stage]:
    """x += RMSNorm(W source)."""
    yield Project((name,), source, "branch", layer=i)
    yield PostNorm(norm, layer=i)


def logits(c: ModelConfig) -> Iterator[Stage]:
    """logits = output(RMSNorm(x)), for the rows that are asked for."""
    yield Norm("output_norm", of_logits=True)
    yield head(c)


def head(c: ModelConfig) -> Stage:
    """logits = output(normed), scaled and capped."""
    weight, scale = "token_embd" if c.tied else "output", 1 / c.logit_scale
    return Project((weight,), "normed", "logits", scale=scale, softcap=c.final_softcap)


def norm_tensors(name: str, hf_name: str, n: int, *, bias: bool = False) -> Iterator[TensorSpec]:
    """A norm's weight and, where it has one, its bias."""
    for kind in ("weight", "bias") if bias else ("weight",):
        yield TensorSpec(f"{name}.{kind}", f"{hf_name}.{kind}", (n,))


def linear_tensors(
    name: str, hf_name: str, shape: tuple[int, int], *, bias: bool = False, n_rotated: int = 0
) -> Iterator[TensorSpec]:
    """A matrix (rows, inputs) and, where it has one, its bias."""
    yield TensorSpec(f"{name}.weight", f"{hf_name}.weight", shape, n_rotated)
    if bias:
        yield TensorSpec(f"{name}.bias", f"{hf_name}.bias", shape[:1], n_rotated)


def embedding_tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What `embedding` takes."""
    yield TensorSpec("token_embd.weight", "model.embed_tokens.weight", (c.vocab_size, c.dim))


def attention_tensors(
    c: ModelConfig, i: int, *, biases: bool = False, norms: bool = False
) -> Iterator[TensorSpec]:
    """What `attention` takes."""
    yield from norm_tensors(f"blk.{i}.attn_norm", f"model.layers.{i}.input_layernorm", c.dim)
    yield from projection_tensors(c, i, biases=biases or c.qkv_bias, norms=norms)


def projection_tensors(
    c: ModelConfig, i: int, *, biases: bool = False, norms: bool = False, out_bias: bool = False
) -> Iterator[TensorSpec]:
    """Those of `attention` without the norm before it."""
    at, hf = f"blk.{i}.", f"model.layers.{i}."
    rows = ((c.q_dim, c.n_heads), (c.kv_dim, c.n_kv_heads), (c.kv_dim, 0))
    for name, (n_rows, n_rotated) in zip(QKV, rows, strict=True):
        hf_name = f"{hf}self_attn.{name[-1]}_proj"
        yield from linear_tensors(
            f"{at}{name}", hf_name, (n_rows, c.dim), bias=biases, n_rotated=n_rotated
        )
    for name in HEAD_NORMS if norms else ():
        hf_name = f"{hf}self_attn.{name.removeprefix('attn_')}.weight"
        yield TensorSpec(f"{at}{name}.weight", hf_name, (c.head_dim,), 1)
    name, shape, bias = f"{at}attn_output", (c.dim, c.q_dim), out_bias or c.out_bias
    yield from linear_tensors(name, f"{hf}self_attn.o_proj", shape, bias=bias)


def feed_forward_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """What `feed_forward` takes."""
    hf_name = f"model.layers.{i}.post_attention_layernorm"
    yield from norm_tensors(f"blk.{i}.ffn_norm", hf_name, c.dim)
    yield from network_tensors(c, i)


def network_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """Those of `feed_forward` without the norm before it."""
    at, hf, bias = f"blk.{i}.", f"model.layers.{i}.mlp.", c.mlp_bias
    wide, narrow = (c.hidden_dim, c.dim), (c.dim, c.hidden_dim)
    yield from linear_tensors(f"{at}ffn_gate", f"{hf}gate_proj", wide, bias=bias)
    yield from linear_tensors(f"{at}ffn_up", f"{hf}up_proj", wide, bias=bias)
    yield from linear_tensors(f"{at}ffn_down", f"{hf}down_proj", narrow, bias=bias)


def logits_tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What `logits` takes, and the divisors of rotary embedding."""
    yield from norm_tensors("output_norm", "model.norm", c.dim)
    yield from head_tensors(c)


def head_tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """Those of `logits` without the norm before it."""
    if not c.tied:
        yield TensorSpec(OUTPUT, "lm_head.weight", (c.vocab_size, c.dim))
    yield TensorSpec(ROPE_FREQS, "", (c.head_dim // 2,), may_lack=True)
