"""Qwen3-Next, Qwen3-Coder-Next: gated delta nets, one layer of four with attention, experts.

Attention's output is multiplied by the sigmoid of a gate that comes with its query; a quarter of
each head is rotated. Beside a token's experts there is a shared one, weighed by a sigmoid. Norms
multiply by 1 more than what a checkpoint has, but for those behind delta nets (arXiv:2412.06464;
the model card of Qwen3-Next-80B-A3B). A GGUF file has q and k in the order of halves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_net import (
    NORM,
    attention,
    attention_tensors,
    delta_net,
    delta_net_tensors,
)
from halfbyte.families.delta_net_readers import from_gguf, from_hf
from halfbyte.families.experts import network, network_tensors
from halfbyte.families.family import DEFAULTS, ExpertRules, Family, NextNames, RecurrentRules
from halfbyte.families.next_tokens import NEXT_KEYS
from halfbyte.families.qwen2moe import CHOICE_KEYS, NAMES, SHARED_KEYS, SIZE_KEYS
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec

_NAMES = replace(NAMES, file_norm=blocks.LATE_NAME)


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield from delta_net(c, i) if c.is_recurrent(i) else attention(c, i)
        yield from network(c, i, _NAMES)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    for spec in _tensors(c):
        is_norm = spec.name.endswith("norm.weight") and not spec.name.endswith(f"{NORM}.weight")
        yield replace(spec, adds=1.0) if is_norm else spec


def _tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        yield from delta_net_tensors(c, i) if c.is_recurrent(i) else attention_tensors(c, i)
        yield from network_tensors(c, i, _NAMES)
    yield from blocks.logits_tensors(c)


_NEXT_NAMES = NextNames(
    layer="mtp.layers.{i}.", eh_proj="mtp.fc", enorm="mtp.pre_fc_norm_embedding",
    hnorm="mtp.pre_fc_norm_hidden", norm="mtp.norm", embedding="", head="", adds=1.0,
)  # fmt: skip
_READS = NEXT_KEYS | {
    "partial_rotary_factor", "rope.dimension_count", "full_attention_interval",
    "attention.recurrent_layers", "mtp_num_hidden_layers", "ssm.conv_kernel", "ssm.inner_size",
    "ssm.state_size", "ssm.time_step_rank", "ssm.group_count", "linear_conv_kernel_dim",
    "linear_key_head_dim", "linear_value_head_dim", "linear_num_key_heads",
    "linear_num_value_heads",
}  # fmt: skip
# Of all of Qwen's with delta nets.
DEFAULTS_OF_ALL: dict[str, Any] = {
    **DEFAULTS,
    "max_position_embeddings": 32768,
    "num_attention_heads": 16,
    "head_dim": 256,
    "partial_rotary_factor": 0.25,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
}

FAMILY = Family(
    architecture="qwen3next",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "qwen3_next": {
            **DEFAULTS_OF_ALL,
            "hidden_size": 2048,
            "intermediate_size": 5632,
            "vocab_size": 151936,
            "num_hidden_layers": 48,
            "num_key_value_heads": 2,
            "num_experts": 512,
            "num_experts_per_tok": 10,
            "moe_intermediate_size": 512,
            "shared_expert_intermediate_size": 512,
        },
    },
    only={"attention_bias": False},
    recurrent=RecurrentRules(from_gguf, from_hf),
    next_names=_NEXT_NAMES,
    reads=_READS,
    experts=ExpertRules(hf={**SIZE_KEYS, **SHARED_KEYS, **CHOICE_KEYS}, has_shared=True),
)
