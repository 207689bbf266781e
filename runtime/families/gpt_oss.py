"""gpt-oss: experts in every layer, a window in every other one, attention sinks, biases everywhere.

The best experts are chosen by their logits, and weighed by the softmax of theirs alone. Their gate
and up are clamped, and up is taken one larger. Source: the model card, arXiv:2508.10925. Published
checkpoints have the experts in MXFP4, row for row the blocks that files hold. A GGUF file has q and
k in the order of halves.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.expert_stages import ExpertsHidden, ExpertsOutput, Route
from halfbyte.families.experts import DOWN, GATE, ROUTER, UP
from halfbyte.families.family import DEFAULTS, ExpertRules, Family
from halfbyte.families.stages import SINKS, Attend, Norm, Project, Rope, Stage
from halfbyte.families.tensors import TensorSpec

_LIMIT = 7.0  # that gate and up are clamped to


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield Norm("attn_norm", layer=i)
        yield blocks.qkv(i)
        yield Rope(biases=True, layer=i)
        yield Attend(sinks=True, layer=i)
        yield blocks.joined(c, i, "attn_output", "attended", bias=True)
        yield Norm(blocks.LATE_NAME, layer=i)
        yield Project((ROUTER,), "normed", "routed", layer=i)
        yield Route(bias=ROUTER, layer=i)
        yield ExpertsHidden(GATE, UP, DOWN, clamps=_LIMIT, biases=True, layer=i)
        yield ExpertsOutput(DOWN, biases=True, layer=i)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        at, hf = f"blk.{i}.", f"model.layers.{i}."
        yield from blocks.norm_tensors(f"{at}attn_norm", f"{hf}input_layernorm", c.dim)
        yield from blocks.projection_tensors(c, i, biases=True, out_bias=True)
        yield TensorSpec(f"{at}{SINKS}.weight", f"{hf}self_attn.sinks", (c.n_heads,))
        yield from blocks.norm_tensors(
            f"{at}{blocks.LATE_NAME}", f"{hf}post_attention_layernorm", c.dim
        )
        yield from _expert_tensors(c, at, f"{hf}mlp.")
    yield from blocks.logits_tensors(c)


def _expert_tensors(c: ModelConfig, at: str, hf: str) -> Iterator[TensorSpec]:
    """A checkpoint has gate and up in turns, row by row; of all three, inputs come before rows."""
    e = c.experts
    assert e is not None
    shape = (e.n_experts, c.dim)
    yield from blocks.linear_tensors(f"{at}{ROUTER}", f"{hf}router", shape, bias=True)
    wide, narrow = (e.n_experts, e.hidden_dim, c.dim), (e.n_experts, c.dim, e.hidden_dim)
    for name, i in ((GATE, 0), (UP, 1)):
        both = f"{hf}experts.gate_up_proj"
        yield TensorSpec(f"{at}{name}.weight", f"{both}[{i}/2~T]", wide)
        yield TensorSpec(f"{at}{name}.bias", f"{both}_bias[{i}/2~]", wide[:2])
    yield TensorSpec(f"{at}{DOWN}.weight", f"{hf}experts.down_proj[0/1T]", narrow)
    yield TensorSpec(f"{at}{DOWN}.bias", f"{hf}experts.down_proj_bias", narrow[:2])


FAMILY = Family(
    architecture="gpt-oss",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "gpt_oss": {
            **DEFAULTS,
            "hidden_size": 2880,
            "intermediate_size": 2880,
            "num_hidden_layers": 36,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "vocab_size": 201088,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "sliding_window": 128,
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
            "rope_theta": 150000.0,
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 32.0,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "truncate": False,
                "original_max_position_embeddings": 4096,
            },
        },
    },
    only={"attention_bias": True, "swiglu_alpha": 1.702, "swiglu_limit": _LIMIT},
    experts=ExpertRules(
        hf={"n_experts": "num_local_experts", "n_used": "num_experts_per_tok experts_per_token"},
        gating="softmax_of_used",
        is_wide=True,
    ),
    reads=frozenset({"attention.sliding_window", "attention.sliding_window_pattern"}),
    full_every=2,
    truncates_yarn=False,
)
