"""Granite 4's hybrids: Mamba-2 in most layers, attention in the others, a network in all.

With experts there is a shared one beside them, and without it is the network: `shared_mlp` in both.
Queries and keys are rotated where `position_embedding_type` says so, which these models' does not.
A checkpoint all of whose layers attend becomes a file of `granite` or `granitemoe`, as llama.cpp's
converter makes it. Source: transformers' modeling_granitemoehybrid.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from halfbyte.families import blocks, granitemoe
from halfbyte.families.config import MAX_DIM, ModelConfig
from halfbyte.families.experts import expert_tensors, network
from halfbyte.families.family import RecurrentRules
from halfbyte.families.granitemoe import NAMES
from halfbyte.families.hf_reader import Reader
from halfbyte.families.mamba2 import mixer, mixer_tensors
from halfbyte.families.mamba2_from_gguf import LIMITS_KEY, ROTATES_KEY, SSM_KEYS, with_mamba2
from halfbyte.families.mamba2_from_hf import LIMITS, layer_types, read_mamba2
from halfbyte.families.neutral import among
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec

# What a checkpoint calls the network's matrices -> what these are elsewhere.
_SHARED = dict(
    zip(("gate_proj.weight", "up_proj.weight", "down_proj.weight"), NAMES.shared_kinds, strict=True)
)


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield from mixer(c, i) if c.is_recurrent(i) else blocks.attention(c, i)
        yield from network(c, i, NAMES)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        if c.is_recurrent(i):
            at, hf = f"blk.{i}", f"model.layers.{i}"
            yield from blocks.norm_tensors(f"{at}.attn_norm", f"{hf}.input_layernorm", c.dim)
            yield from mixer_tensors(c, i, f"{hf}.mamba")
        else:
            yield from blocks.attention_tensors(c, i)
        if c.has_experts(i):
            yield from expert_tensors(c, i, NAMES)
        else:
            yield from map(_of_shared, blocks.feed_forward_tensors(c, i))
    yield from blocks.logits_tensors(c)


def _of_shared(spec: TensorSpec) -> TensorSpec:
    """A network's tensor under the name that it has in a checkpoint."""
    before, _, kind = spec.hf_name.partition(".mlp.")
    return replace(spec, hf_name=f"{before}.{NAMES.shared}.{_SHARED[kind]}") if kind else spec


_KEYS = {
    "n_heads": "mamba_n_heads",
    "head_dim": "mamba_d_head",
    "n_state": "mamba_d_state",
    "n_groups": "mamba_n_groups",
    "n_taps": "mamba_d_conv",
}
_TYPES, _EXPANDS, _ROTATES = "layer_types", "mamba_expand", "position_embedding_type"
_WIDTH = "shared_intermediate_size"
_MAMBA, _ATTENTION = "mamba", "attention"
# transformers 5 has other words for both.
_KINDS = {
    _MAMBA: _MAMBA, "linear_attention": _MAMBA, _ATTENTION: _ATTENTION, "full_attention": _ATTENTION
}  # fmt: skip


def from_hf(reader: Reader, c: ModelConfig) -> ModelConfig:
    """A configuration with what config.json says of layers, rotation and networks.

    Raises:
        ConversionError: a key is missing, mistyped, out of range or contradicts another.
    """
    kinds = [_MAMBA] * c.n_layers
    if reader.config.get(_TYPES) is not None:
        kinds = layer_types(reader, _TYPES, reader.config[_TYPES], _KINDS, c.n_layers)
    rotates = reader.value_of(_ROTATES)
    if rotates not in (None, "nope", "rope"):
        raise reader.bad(_ROTATES, 'null, "nope" or "rope"', rotates)
    if rotates != "rope":
        c = replace(c, rope_layers=(False,) * c.n_layers)
    if c.experts is None:
        c = replace(c, hidden_dim=_count(reader, _WIDTH))
    if _ATTENTION not in kinds:
        raise reader.bad(_TYPES, "at least one layer with attention", "none")
    if _MAMBA not in kinds:
        return _of_attention(reader, c)
    inner = _count(reader, _EXPANDS) * c.dim
    mamba = read_mamba2(reader, _KEYS, max(inner // _count(reader, _KEYS["n_heads"]), 1))
    if mamba.output_dim != inner:
        got = f"{mamba.n_heads} heads of {mamba.head_dim}"
        raise reader.bad(_KEYS["head_dim"], f"{inner} features ({_EXPANDS} x hidden_size)", got)
    return replace(c, recurrent=mamba, recurrent_layers=tuple(one == _MAMBA for one in kinds))


def _of_attention(reader: Reader, c: ModelConfig) -> ModelConfig:
    """A model without recurrent layers, which is one of an older family."""
    if c.rope_layers:
        expected = '"rope", where all layers have attention'
        raise reader.bad(_ROTATES, expected, reader.value_of(_ROTATES))
    return replace(c, architecture="granite" if c.experts is None else "granitemoe")


def _count(reader: Reader, key: str) -> int:
    value = reader.value_of(key)
    if type(value) is not int or not 1 <= value <= MAX_DIM:
        raise reader.bad(key, f"a whole number from 1 to {MAX_DIM}", value)
    return value


_MOE = granitemoe.FAMILY

FAMILY = replace(
    _MOE,
    architecture="granitehybrid",
    stages=stages,
    tensors=tensors,
    defaults={
        "granitemoehybrid": {
            **_MOE.defaults["granitemoeshared"],
            _WIDTH: 1024,
            "mamba_n_heads": 128,
            "mamba_n_groups": 1,
            "mamba_d_state": 256,
            "mamba_d_head": "auto",
            "mamba_d_conv": 4,
            _EXPANDS: 2,
        },
    },
    only={"mamba_proj_bias": among(None, False), "mamba_conv_bias": among(None, True)},
    reads=_MOE.reads
    | {_TYPES, _EXPANDS, _ROTATES, LIMITS, "mamba_chunk_size", *_KEYS.values()}
    | {ROTATES_KEY, LIMITS_KEY, *SSM_KEYS.values()}
    # What files of models without experts state all the same.
    | {"expert_used_count", "expert_shared_feed_forward_length", _WIDTH},
    experts=replace(granitemoe.EXPERTS, may_lack=True),
    recurrent=RecurrentRules(with_mamba2, from_hf),
)
