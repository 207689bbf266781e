"""OLMo 2 and 3: no norms before attention and network but behind them, and of all of q and k.

In OLMo 3 three of four layers have a window, whose positions are not stretched. Sources:
arXiv:2501.00656 and 2512.13961. A GGUF file has q and k in the order of halves, and of both kinds
the same architecture.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import DEFAULTS, Family
from halfbyte.families.stages import QKV, Attend, FeedForward, Project, Rope, RowNorms, Stage
from halfbyte.families.tensors import TensorSpec


def stages(c: ModelConfig, *, head_norms: bool = False) -> Iterator[Stage]:
    """The forward pass; relatives have norms of q's and k's heads in place of all of them."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield Project(QKV, "x", "qkv", layer=i)
        if not head_norms:
            yield RowNorms(layer=i)
        yield Rope(norms=head_norms, layer=i)
        yield Attend(layer=i)
        yield from blocks.branch(i, "attn_output", "attended", "post_attention_norm")
        yield FeedForward("ffn_gate", "ffn_up", "ffn_down", source="x", layer=i)
        yield from blocks.branch(i, "ffn_down", "hidden", "post_ffw_norm")
    yield from blocks.logits(c)


def tensors(c: ModelConfig, *, head_norms: bool = False) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        at, hf = f"blk.{i}.", f"model.layers.{i}."
        yield from blocks.projection_tensors(c, i, norms=head_norms)
        whole = (("q", c.q_dim, c.n_heads), ("k", c.kv_dim, c.n_kv_heads))
        for name, n, heads in () if head_norms else whole:
            hf_name = f"{hf}self_attn.{name}_norm.weight"
            yield TensorSpec(f"{at}attn_{name}_norm.weight", hf_name, (n,), heads)
        for name, of in (("attention", "attention"), ("ffw", "feedforward")):
            hf_name = f"{hf}post_{of}_layernorm"
            yield from blocks.norm_tensors(f"{at}post_{name}_norm", hf_name, c.dim)
        yield from blocks.network_tensors(c, i)
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="olmo2",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "olmo2": {
            **DEFAULTS,
            "intermediate_size": 11008,
            "vocab_size": 50304,
            "max_position_embeddings": 2048,
            "num_key_value_heads": None,  # as many as heads
            "rms_norm_eps": 1e-5,
        },
        "olmo3": {
            **DEFAULTS,
            "intermediate_size": 11008,
            "vocab_size": 50304,
            "max_position_embeddings": 2048,
            "num_key_value_heads": None,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0,
            "sliding_window": 4096,
        },
    },
    only={"attention_bias": False},
    reads=frozenset(
        {
            "attention.sliding_window",
            "attention.sliding_window_pattern",
            "rope.freq_base_swa",
        }
    ),
    full_every=4,
    local_theta=0.0,
)
