"""Parts that families share: what a Llama layer's halves compute, and the tensors they take.

Source: the Llama papers (arXiv:2302.13971, 2307.09288); tensor names are GGUF's.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import (
    FUSED_QKV,
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
from halfbyte.families.tensors import OUTPUT, ROPE_FREQS, ROPE_LONG, ROPE_SHORT, TensorSpec


def embedding() -> Iterator[Stage]:
    """x = token_embd[tokens]."""
    yield Embed()


def attention(
    i: int, *, biases: bool = False, norms: bool = False, is_fused: bool = False
) -> Iterator[Stage]:
    """x += attn_output(attention(rope(attn_q n), rope(attn_k n), attn_v n)), n = RMSNorm(x)."""
    yield Norm("attn_norm", layer=i)
    yield qkv(i, is_fused=is_fused)
    yield Rope(biases, norms, layer=i)
    yield Attend(layer=i)
    yield Project(("attn_output",), "attended", "x", adds=True, layer=i)


def qkv(i: int, *, is_fused: bool = False) -> Stage:
    """qkv = attn_q n, attn_k n, attn_v n; the three are one tensor where it is fused."""
    weights = (FUSED_QKV,) if is_fused else QKV
    return Project(weights, "normed", "qkv", parts=QKV if is_fused else (), layer=i)


def feed_forward(i: int, *, is_fused: bool = False) -> Iterator[Stage]:
    """x += ffn_down(SiLU(ffn_gate n) * (ffn_up n)), n = RMSNorm(x)."""
    yield Norm("ffn_norm", layer=i)
    yield FeedForward("ffn_gate", "ffn_up", "ffn_down", is_fused, layer=i)
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
        order = {"n_rotated": n_rotated, "n_features": c.rope.n_features}
        yield TensorSpec(f"{at}{name}.weight", f"{hf_name}.weight", shape, **order)
        if biases:
            yield TensorSpec(f"{at}{name}.bias", f"{hf_name}.bias", shape[:1], **order)
    for name in HEAD_NORMS if norms else ():
        hf_name = f"{hf}self_attn.{name.removeprefix('attn_')}.weight"
        shape, n = (c.head_dim,), c.rope.n_features
        yield TensorSpec(f"{at}{name}.weight", hf_name, shape, n_rotated=1, n_features=n)
    yield TensorSpec(f"{at}attn_output.weight", f"{hf}self_attn.o_proj.weight", (c.dim, c.q_dim))


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
    n_pairs = (c.rope.n_features or c.head_dim) // 2
    if c.rope.longrope is None:
        yield TensorSpec(ROPE_FREQS, "", (n_pairs,), may_lack=True)
        return
    for name in (ROPE_LONG, ROPE_SHORT):
        yield TensorSpec(name, "", (n_pairs,))
