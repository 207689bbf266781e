"""Laguna: experts by sigmoid with a shared one, gates of what attention gives, two kinds of layers.

Those with a window may have more query heads than those without, and a rope of their own, which is
not stretched; the others rotate a part of each head. The first layers have a network. A GGUF file
has q and k in the order of halves. Source: the model card of Laguna XS 2.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.experts import Names, network, network_tensors
from halfbyte.families.family import DEFAULTS, ExpertRules, Family
from halfbyte.families.heads import GATE
from halfbyte.families.neutral import OFF
from halfbyte.families.stages import Attend, GateAttended, Norm, Project, Rope, Stage
from halfbyte.families.tensors import TensorSpec

_NAMES = Names(shared="mlp.shared_expert", selection_bias="mlp.experts.e_score_correction_bias")


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield Norm("attn_norm", layer=i)
        yield blocks.qkv(i)
        yield Project((GATE,), "normed", "gates", layer=i)
        yield Rope(norms=True, layer=i)
        yield Attend(layer=i)
        yield GateAttended(layer=i)
        yield blocks.joined(c, i, "attn_output", "attended", bias=False)
        yield from network(c, i, _NAMES)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        yield from blocks.attention_tensors(c, i, norms=True)
        shape = c.q_dim_of(i) // (c.gate_dim or 1), c.dim
        yield TensorSpec(
            f"blk.{i}.{GATE}.weight", f"model.layers.{i}.self_attn.g_proj.weight", shape
        )
        yield from network_tensors(c, i, _NAMES)
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="laguna",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "laguna": {
            **DEFAULTS,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "vocab_size": 100352,
            "max_position_embeddings": 131072,
            "num_hidden_layers": 40,
            "num_attention_heads": 48,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "sliding_window": 512,
            "layer_types": None,  # none has the window
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 500000.0,
                                   "partial_rotary_factor": 0.5},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "num_experts": 256,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 512,
            "shared_expert_intermediate_size": 512,
            "moe_routed_scaling_factor": 1.0,
        },
    },
    only={
        "attention_bias": False,
        "moe_apply_router_weight_on_input": OFF,
        "moe_router_logit_softcapping": OFF,
    },
    reads=frozenset(
        "attention.sliding_window attention.sliding_window_pattern rope.freq_base_swa"
        " rope.dimension_count rope.dimension_count_swa partial_rotary_factor".split()
    ),
    full_every=4,
    full_first=True,
    local_theta=0.0,
    heads_key="num_attention_heads_per_layer",
    gates_key="gating",
    experts=ExpertRules(
        hf={
            "n_experts": "num_experts num_local_experts",
            "n_used": "num_experts_per_tok",
            "hidden_dim": "moe_intermediate_size",
            "shared_dim": "shared_expert_intermediate_size",
            "kinds": "mlp_layer_types",
            "scale": "moe_routed_scaling_factor",
        },
        gating="sigmoid",
    ),
)  # fmt: skip
