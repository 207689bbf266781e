"""Parts that families share: what a Llama layer's halves compute, and the tensors they take.

Source: the Llama papers (arXiv:2302.13971, 2307.09288); tensor names are GGUF's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import (
    FUSED_QKV,
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
from halfbyte.families.tensors import OUTPUT, ROPE_FREQS, ROPE_LONG, ROPE_SHORT, TensorSpec

FFN_NORM = "ffn_norm"
# What files of some families call it, since it stands behind attention.
LATE_NAME = "post_attention_norm"


def embedding(c: ModelConfig) -> Iterator[Stage]:
    """x = token_embd[tokens]."""
    yield Embed(scale=c.embedding_scale)


def attention(
    c: ModelConfig, i: int, *, biases: bool = False, norms: bool = False, is_fused: bool = False
) -> Iterator[Stage]:
    """x += attn_output(attention(rope(attn_q n), rope(attn_k n), attn_v n)), n = RMSNorm(x)."""
    biases = biases or c.qkv_bias
    yield Norm("attn_norm", layer=i)
    yield qkv(i, is_fused=is_fused)
    yield Rope(biases, norms, layer=i)
    yield Attend(layer=i)
    yield joined(c, i, "attn_output", "attended", bias=c.out_bias)


def qkv(i: int, *, is_fused: bool = False, source: str = "normed") -> Stage:
    """qkv = attn_q n, attn_k n, attn_v n; the three are one tensor where it is fused."""
    weights = (FUSED_QKV,) if is_fused else QKV
    return Project(weights, source, "qkv", parts=QKV if is_fused else (), layer=i)


def feed_forward(
    c: ModelConfig,
    i: int,
    *,
    norm: str = FFN_NORM,
    activation: str = "silu",
    is_fused: bool = False,
) -> Iterator[Stage]:
    """x += ffn_down(activation(ffn_gate n) * (ffn_up n)), n = RMSNorm(x)."""
    yield Norm(norm, layer=i)
    yield FeedForward(
        "ffn_gate", "ffn_up", "ffn_down", activation, c.mlp_bias, is_fused=is_fused, layer=i
    )
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


def head(c: ModelConfig) -> Project:
    """logits = output(normed), scaled and capped."""
    weight, scale = "token_embd" if c.tied else "output", 1 / c.logit_scale
    return Project((weight,), "normed", "logits", scale=scale, softcap=c.final_softcap)


def norm_tensors(name: str, hf_name: str, n: int, *, bias: bool = False) -> Iterator[TensorSpec]:
    """A norm's weight and, where it has one, its bias."""
    for kind in ("weight", "bias") if bias else ("weight",):
        yield TensorSpec(f"{name}.{kind}", f"{hf_name}.{kind}", (n,))


def linear_tensors(
    name: str, hf_name: str, shape: tuple[int, int], *, bias: bool = False
) -> Iterator[TensorSpec]:
    """A matrix (rows, inputs) and, where it has one, its bias."""
    yield TensorSpec(f"{name}.weight", f"{hf_name}.weight", shape)
    if bias:
        yield TensorSpec(f"{name}.bias", f"{hf_name}.bias", shape[:1])


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
    kv_dim = c.kv_dim_of(i)
    rows = ((c.q_dim_of(i), c.heads_of(i)), (kv_dim, c.kv_heads_of(i)), (kv_dim, 0))
    n = (c.rope_of(i) or c.rope).n_features
    for name, (n_rows, n_rotated) in zip(QKV, rows, strict=True):
        hf_name = f"{hf}self_attn.{name[-1]}_proj"
        for spec in linear_tensors(f"{at}{name}", hf_name, (n_rows, c.dim), bias=biases):
            yield replace(spec, n_rotated=n_rotated, n_features=n)
    for name in HEAD_NORMS if norms else ():
        hf_name = f"{hf}self_attn.{name.removeprefix('attn_')}.weight"
        features = (c.head_dim_of(i),)
        yield TensorSpec(f"{at}{name}.weight", hf_name, features, n_rotated=1, n_features=n)
    name, narrow, bias = f"{at}attn_output", (c.dim, c.q_dim_of(i)), out_bias or c.out_bias
    yield from linear_tensors(name, f"{hf}self_attn.o_proj", narrow, bias=bias)


def fused_attention_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """What `attention` takes, with q, k and v in one tensor."""
    at, hf = f"blk.{i}.", f"model.layers.{i}."
    rows = (c.q_dim, c.kv_dim, c.kv_dim)
    parts = tuple((f"{at}{name}.weight", n) for name, n in zip(QKV, rows, strict=True))
    yield TensorSpec(f"{at}attn_norm.weight", f"{hf}input_layernorm.weight", (c.dim,))
    yield TensorSpec(
        f"{at}{FUSED_QKV}.weight", f"{hf}self_attn.qkv_proj.weight", (sum(rows), c.dim),
        n_rotated=c.n_heads + c.n_kv_heads, head_dim=c.head_dim, n_features=c.rope.n_features,
        parts=parts,
    )  # fmt: skip
    yield TensorSpec(f"{at}attn_output.weight", f"{hf}self_attn.o_proj.weight", (c.dim, c.q_dim))


def fused_feed_forward_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """What `feed_forward` takes, with gate and up in one tensor, the gate first."""
    at, hf, shape = f"blk.{i}.", f"model.layers.{i}.", (2 * c.hidden_dim, c.dim)
    parts = tuple((f"{at}{name}.weight", c.hidden_dim) for name in ("ffn_gate", "ffn_up"))
    yield TensorSpec(f"{at}ffn_norm.weight", f"{hf}post_attention_layernorm.weight", (c.dim,))
    hf_name = f"{hf}mlp.gate_up_proj.weight"
    yield TensorSpec(f"{at}ffn_up.weight", hf_name, shape, parts=parts)
    down = f"{hf}mlp.down_proj.weight"
    yield TensorSpec(f"{at}ffn_down.weight", down, (c.dim, c.hidden_dim))


def feed_forward_tensors(c: ModelConfig, i: int, *, norm: str = FFN_NORM) -> Iterator[TensorSpec]:
    """What `feed_forward` takes."""
    hf_name = f"model.layers.{i}.post_attention_layernorm"
    yield from norm_tensors(f"blk.{i}.{norm}", hf_name, c.dim)
    yield from network_tensors(c, i)


def network_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """Those of `feed_forward` without the norm before it."""
    at, hf, bias = f"blk.{i}.", f"model.layers.{i}.mlp.", c.mlp_bias
    wide, narrow = (c.hidden_dim_of(i), c.dim), (c.dim, c.hidden_dim_of(i))
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
    n_pairs = (c.rope.n_features or c.head_dim) // 2
    if c.rope.longrope is None:
        yield TensorSpec(ROPE_FREQS, "", (n_pairs,), may_lack=True)
        return
    for name in (ROPE_LONG, ROPE_SHORT):
        yield TensorSpec(name, "", (n_pairs,))
