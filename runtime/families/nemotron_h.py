"""Nemotron-H and Nemotron Nano 2: layers of one kind each, Mamba-2, attention or a network.

Attention rotates nothing; networks have no gate and squared ReLUs. A model with experts
(nemotron_h_moe in GGUF) weighs them by the sigmoid of each, chooses them with a bias, and has a
shared one beside them (arXiv:2504.03624). A checkpoint's kinds of layers stand in
`layers_block_type`, or as letters in `hybrid_override_pattern`. Steps in time have the limits of
`time_step_limit`, as in llama.cpp: transformers' class takes `time_step_min` for the lower one, in
prompts alone. Source: transformers' modeling_nemotron_h.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from halfbyte.families import blocks
from halfbyte.families.config import KEYS, Key, ModelConfig
from halfbyte.families.experts import Names, expert_tensors, experts
from halfbyte.families.family import ExpertRules, Family, RecurrentRules
from halfbyte.families.hf_reader import Reader
from halfbyte.families.mamba2 import mixer, mixer_tensors
from halfbyte.families.mamba2_from_gguf import LIMITS_KEY, SSM_KEYS, with_mamba2
from halfbyte.families.mamba2_from_hf import LIMITS, layer_types, read_mamba2
from halfbyte.families.neutral import among
from halfbyte.families.next_tokens import NEXT_KEYS
from halfbyte.families.stages import FeedForward, Norm, Stage
from halfbyte.families.tensors import TensorSpec

_NORM = "attn_norm"  # a layer's only one
_NAMES = Names(
    experts=("", "mixer.experts.{}.up_proj.weight", "mixer.experts.{}.down_proj.weight"),
    router="mixer.gate.weight",
    shared="mixer.shared_experts",
    shared_kinds=("", "up_proj.weight", "down_proj.weight"),
    selection_bias="mixer.gate.e_score_correction_bias",
    activation="relu_squared",
)
# What a checkpoint calls what others have.
_RENAMED = {
    "model.embed_tokens": "model.embeddings",
    "model.norm.": "model.norm_f.",
    "input_layernorm": "norm",
    "post_attention_layernorm": "norm",
    ".self_attn.": ".mixer.",
    ".mlp.": ".mixer.",
}


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        if c.is_recurrent(i):
            yield from mixer(c, i)
        elif c.has_attention(i):
            yield from blocks.attention(c, i)
        elif c.has_experts(i):
            _, *rest = experts(c, i, _NAMES)
            yield from (Norm(_NORM, layer=i), *rest)
        else:
            yield Norm(_NORM, layer=i)
            yield FeedForward("", "ffn_up", "ffn_down", "relu_squared", c.mlp_bias, layer=i)
            yield blocks.joined(c, i, "ffn_down", "hidden", bias=c.mlp_bias)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    for spec in _usual_tensors(c):
        hf_name = spec.hf_name
        for usual, own in _RENAMED.items():
            hf_name = hf_name.replace(usual, own)
        yield replace(spec, name=spec.name.replace("ffn_norm", _NORM), hf_name=hf_name)


def _usual_tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        at, hf = f"blk.{i}", f"model.layers.{i}"
        if c.is_recurrent(i):
            yield from blocks.norm_tensors(f"{at}.{_NORM}", f"{hf}.norm", c.dim)
            yield from mixer_tensors(c, i, f"{hf}.mixer")
        elif c.has_attention(i):
            yield from blocks.attention_tensors(c, i)
        elif c.has_experts(i):
            yield from expert_tensors(c, i, _NAMES)
        else:
            network = blocks.feed_forward_tensors(c, i)
            yield from (spec for spec in network if "ffn_gate" not in spec.name)
    yield from blocks.logits_tensors(c)


_KEYS = {
    "n_heads": "mamba_num_heads",
    "head_dim": "mamba_head_dim",
    "n_state": "ssm_state_size",
    "n_groups": "n_groups",
    "n_taps": "conv_kernel",
}
_TYPES, _PATTERN, _WIDTH = "layers_block_type", "hybrid_override_pattern", "moe_intermediate_size"
_MAMBA, _ATTENTION, _MLP, _MOE = "mamba", "attention", "mlp", "moe"
# transformers 5 has other words for the first two.
_KINDS = {
    _MAMBA: _MAMBA, "linear_attention": _MAMBA, _ATTENTION: _ATTENTION,
    "full_attention": _ATTENTION, _MLP: _MLP, _MOE: _MOE,
}  # fmt: skip
_LETTERS = {"M": _MAMBA, "*": _ATTENTION, "-": _MLP, "E": _MOE}


def from_hf(reader: Reader, c: ModelConfig) -> ModelConfig:
    """A configuration with what config.json says of layers.

    Raises:
        ConversionError: a key is missing, mistyped, out of range or contradicts another.
    """
    kinds = _kinds(reader, c.n_layers)
    for kind in (_MAMBA, _ATTENTION):
        if kind not in kinds:
            raise reader.bad(f"{_TYPES}, {_PATTERN}", f"at least one layer of {kind}", "none")
    c = replace(
        c,
        recurrent=read_mamba2(reader, _KEYS, None),
        recurrent_layers=tuple(kind == _MAMBA for kind in kinds),
        attention_layers=tuple(kind == _ATTENTION for kind in kinds),
        network_layers=tuple(kind in (_MLP, _MOE) for kind in kinds),
    )
    if c.experts is None or _MOE not in kinds:
        return replace(c, experts=None)
    if c.mlp_bias:
        raise reader.bad("mlp_bias", "false, where layers have experts", True)
    dense = tuple(i for i, kind in enumerate(kinds) if kind == _MLP)
    width = c.hidden_dim if dense else c.experts.hidden_dim
    chosen = replace(c.experts, dense_layers=dense)
    return replace(c, architecture=WITH_EXPERTS, experts=chosen, hidden_dim=width)


def _kinds(reader: Reader, n_layers: int) -> list[str]:
    """What each layer is: a key of both, or two that say the same."""
    found, pattern = list[list[str]](), reader.config.get(_PATTERN)
    if reader.config.get(_TYPES) is not None:
        found.append(layer_types(reader, _TYPES, reader.config[_TYPES], _KINDS, n_layers))
    if pattern is not None:
        letters = list(pattern) if isinstance(pattern, str) else pattern
        found.append(layer_types(reader, _PATTERN, letters, _LETTERS, n_layers))
    if not found:
        found.append(layer_types(reader, _TYPES, reader.value_of(_TYPES), _KINDS, n_layers))
    if found[0] != found[-1]:
        raise reader.bad(f"{_TYPES}, {_PATTERN}", "the same of both", "others")
    return found[0]


WITH_EXPERTS = "nemotron_h_moe"
FAMILY = Family(
    architecture="nemotron_h",
    rotates_halves=False,
    stages=stages,
    tensors=tensors,
    defaults={
        "nemotron_h": {
            "hidden_size": 4096,
            _TYPES: ["linear_attention", "moe", "full_attention", "mlp"],
            "intermediate_size": 21504,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 4096,
            "vocab_size": 131072,
            "layer_norm_epsilon": 1e-5,
            "mamba_num_heads": 128,
            "mamba_head_dim": 64,
            "ssm_state_size": 128,
            "n_groups": 8,
            "conv_kernel": 4,
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "n_shared_experts": 1,
            _WIDTH: 7688,
            "moe_shared_expert_intermediate_size": 7688,
            "norm_topk_prob": True,
        },
    },
    only={
        "attention_bias": among(None, False),
        "use_bias": among(None, False),
        "mamba_proj_bias": among(None, False),
        "use_conv_bias": among(None, True),
        "mlp_hidden_act": among(None, "relu2"),
        "mamba_hidden_act": among(None, "silu"),
        "moe_latent_size": among(None),
    },
    experts=ExpertRules(
        hf={
            "n_experts": "n_routed_experts",
            "n_used": "num_experts_per_tok",
            "hidden_dim": _WIDTH,
            "n_shared": "n_shared_experts",
            "shared_dim": "moe_shared_expert_intermediate_size",
            "normalizes": "norm_topk_prob",
            "scale": "routed_scaling_factor",
            "n_groups": "n_group",
            "n_groups_used": "topk_group",
        },
        gating="sigmoid",
        may_lack=True,
        states_norm=True,
    ),
    reads=NEXT_KEYS
    | {_TYPES, _PATTERN, LIMITS, "mtp_hybrid_override_pattern", "mtp_layers_block_type"}
    # How states were computed in training, and what follows from other keys or is not used.
    | {"chunk_size", "expand", "time_step_min", "time_step_max", "time_step_floor",
       "mamba_ssm_cache_dtype", "moe_shared_expert_overlap", *_KEYS.values()}
    | {KEYS["norm_eps"].gguf, LIMITS_KEY, *SSM_KEYS.values()},
    unrotated_every=1,
    own_keys={"norm_eps": Key("attention.layer_norm_epsilon", "layer_norm_epsilon")},
    biases={"mlp_bias": ("mlp_bias",)},
    hf_root="backbone.",
    recurrent=RecurrentRules(
        partial(with_mamba2, of_one_kind=True), from_hf, (_PATTERN, _TYPES)
    ),
)  # fmt: skip
