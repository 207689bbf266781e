"""Gemma 4: the dense sizes, 26B-A4B with experts beside a network, E2B and E4B.

Layers without a window have heads of another size and number than those with one, a rope that turns
a part of them, and in larger models values that are made of what keys are made of. The last layers
of the E sizes read the keys and values of earlier ones, and each has embeddings of its own. Scores
are not scaled; queries, keys and values are normed, and each layer's result is multiplied by a
number. A GGUF file has q and k in the order of halves. Source: transformers' modeling_gemma4.py,
llama.cpp's src/models/gemma4.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from halfbyte.families import blocks, per_layer
from halfbyte.families.config import ExpertsConfig, ModelConfig, option_keys
from halfbyte.families.expert_stages import ExpertsHidden, ExpertsOutput, Route
from halfbyte.families.experts import DOWN, GATE, GATE_UP, ROUTER, UP
from halfbyte.families.family import DEFAULTS, ExpertRules, Family
from halfbyte.families.neutral import among
from halfbyte.families.stages import (
    QKV,
    SCALE,
    Attend,
    Embed,
    FeedForward,
    Norm,
    PostNorm,
    Project,
    Rope,
    Stage,
)
from halfbyte.families.tensors import TensorSpec

_OUT_SCALE = "layer_output_scale"
_PRE_2, _POST_1, _POST_2 = "pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"
# GGUF's name of a norm -> the checkpoint's.
_NORMS = {
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_EXPERT_NORMS = {
    _PRE_2: "pre_feedforward_layernorm_2",
    _POST_1: "post_feedforward_layernorm_1",
    _POST_2: "post_feedforward_layernorm_2",
}
_EXPERTS = ("gate_up_proj[0/2]", "gate_up_proj[1/2]", "down_proj[0/1]")


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield Embed(scale=c.dim**0.5)
    if c.per_layer_dim:
        yield from per_layer.inputs(c)
    for i in range(c.n_layers):
        yield from _attention(c, i)
        yield from _network(c, i)
        scale = "" if c.per_layer_dim else _OUT_SCALE
        yield PostNorm("post_ffw_norm", scale=scale, layer=i)
        if c.per_layer_dim:
            yield from per_layer.addition(i, _OUT_SCALE)
    yield from blocks.logits(c)


def _attention(c: ModelConfig, i: int) -> Iterator[Stage]:
    has_kv, values_are_keys = c.has_kv(i), c.values_are_keys(i)
    made = QKV[: 2 if values_are_keys else 3] if has_kv else QKV[:1]
    yield Norm("attn_norm", layer=i)
    yield Project(made, "normed", "qkv", layer=i)
    yield Rope(norms=True, value_norms=has_kv, values_are_keys=values_are_keys, keys=has_kv,
               layer=i)  # fmt: skip
    yield Attend(layer=i)
    yield from blocks.branch(i, "attn_output", "attended", "post_attention_norm")


def _network(c: ModelConfig, i: int) -> Iterator[Stage]:
    """branch = the network's, or RMSNorm(the network's) + RMSNorm(the experts')."""
    e = c.experts
    yield Norm("ffn_norm", layer=i)
    yield FeedForward("ffn_gate", "ffn_up", "ffn_down", "gelu_tanh", layer=i)
    yield Project(("ffn_down",), "hidden", "branch", layer=i)
    if e is None:
        return
    yield PostNorm(_POST_1, to="branch", adds=False, layer=i)
    yield Norm(ROUTER, kind=SCALE, layer=i)
    yield Project((ROUTER,), "normed", "routed", scale=c.dim**-0.5, layer=i)
    yield Norm(_PRE_2, layer=i)
    yield Route(factors=DOWN, layer=i)
    fused = GATE_UP if e.is_fused else ""
    yield ExpertsHidden(GATE, UP, DOWN, fused=fused, activation="gelu_tanh", layer=i)
    yield ExpertsOutput(DOWN, to="shared", layer=i)
    yield PostNorm(_POST_2, source="shared", to="branch", layer=i)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    if c.per_layer_dim:
        yield from per_layer.input_tensors(c)
    for i in range(c.n_layers):
        at, hf = f"blk.{i}.", f"model.layers.{i}."
        norms = _NORMS if c.experts is None else _NORMS | _EXPERT_NORMS
        for name, hf_name in norms.items():
            yield from blocks.norm_tensors(at + name, hf + hf_name, c.dim)
        yield from _projections(c, i)
        yield from blocks.network_tensors(c, i)
        if c.experts is not None:
            yield from _experts(c, c.experts, at, hf)
        if c.per_layer_dim:
            yield from per_layer.addition_tensors(c, i)
        yield TensorSpec(f"{at}{_OUT_SCALE}.weight", f"{hf}layer_scalar", (1,))
    yield from blocks.logits_tensors(c)


def _projections(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """Those of all layers, but for what a layer does not have."""
    missing: tuple[str, ...] = () if c.has_kv(i) else ("attn_k", "attn_v", "attn_k_norm")
    missing = ("attn_v",) if c.values_are_keys(i) else missing
    absent = {f"blk.{i}.{name}.weight" for name in missing}
    for spec in blocks.projection_tensors(c, i, norms=True):
        if spec.name not in absent:
            yield spec


def _experts(c: ModelConfig, e: ExpertsConfig, at: str, hf: str) -> Iterator[TensorSpec]:
    router = f"{hf}router."
    yield TensorSpec(f"{at}{ROUTER}.weight", f"{router}proj.weight", (e.n_experts, c.dim))
    yield TensorSpec(f"{at}{ROUTER}.{SCALE}", f"{router}scale", (c.dim,))
    wide, narrow = (e.n_experts, e.hidden_dim, c.dim), (e.n_experts, c.dim, e.hidden_dim)
    specs = [
        TensorSpec(f"{at}{name}.weight", f"{hf}experts.{hf_name}", shape)
        for name, hf_name, shape in zip(
            (GATE, UP, DOWN), _EXPERTS, (wide, wide, narrow), strict=True
        )
    ]
    if e.is_fused:  # in files alone: a checkpoint's are taken apart
        parts = tuple((spec.name, e.hidden_dim) for spec in specs[:2])
        whole = replace(specs[0], name=f"{at}{GATE_UP}.weight", hf_name="", parts=parts)
        specs[:2] = [replace(whole, shape=(e.n_experts, 2 * e.hidden_dim, c.dim))]
    yield from specs
    factors = f"{at}{DOWN}.{SCALE}"
    yield TensorSpec(factors, f"{router}per_expert_scale", (e.n_experts,))


_DEFAULTS = {
    **DEFAULTS,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 30,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "global_head_dim": 512,
    "vocab_size": 262144,
    "vocab_size_per_layer_input": 262144,
    "hidden_size_per_layer_input": 256,
    "max_position_embeddings": 131072,
    "sliding_window": 512,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25,
                           "rope_theta": 1000000.0},
    },
    "num_experts": None,
}  # fmt: skip

_UNIFIED = {
    **_DEFAULTS, "hidden_size_per_layer_input": 0, "max_position_embeddings": 262144,
    "sliding_window": 1024,
}  # fmt: skip

FAMILY = Family(
    architecture="gemma4",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={"gemma4_text": _DEFAULTS, "gemma4_unified_text": _UNIFIED},
    only={
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        # Of images alone; there are none.
        "use_bidirectional_attention": among(None, False, "vision"),
    },
    reads=option_keys("final_softcap") | frozenset(
        "attention.sliding_window attention.sliding_window_pattern attention.shared_kv_layers"
        " attention.key_length_swa attention.value_length_swa rope.freq_base_swa"
        " rope.dimension_count rope.dimension_count_swa embedding_length_per_layer_input"
        " partial_rotary_factor per_layer_config global_head_dim num_global_key_value_heads"
        " attention_k_eq_v num_kv_shared_layers use_double_wide_mlp hidden_size_per_layer_input"
        " vocab_size_per_layer_input enable_moe_block top_k_experts"
        " moe_intermediate_size".split()
    ),
    full_every=6,
    local_theta=10000.0,
    has_sizes=True,
    score_scale=1.0,
    experts=ExpertRules(
        hf={
            "n_experts": "num_experts",
            "n_used": "top_k_experts",
            "hidden_dim": "moe_intermediate_size",
        },
        may_lack=True,
        switch="enable_moe_block",
    ),
)  # fmt: skip
