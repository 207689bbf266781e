"""What each family computes, in words: read off its stages and rules, for docs/models.md."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from inspect import getdoc
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from halfbyte.families import registry
from halfbyte.families.config import KEYS, OPTIONS, TEMPERATURE_KEY, ExpertsConfig, ModelConfig
from halfbyte.families.delta_net import DeltaRule
from halfbyte.families.expert_stages import AddGated, ExpertsHidden, ExpertsOutput, Route
from halfbyte.families.family import Family
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.mamba2 import Scan
from halfbyte.families.per_layer import JoinRows
from halfbyte.families.short_conv import Convolve
from halfbyte.families.stages import (
    QUERY_GATE,
    Attend,
    Embed,
    FeedForward,
    GateAttended,
    Norm,
    PostNorm,
    Rope,
    RowNorms,
    Stage,
)
from halfbyte.families.states import RecurrentStage

T = TypeVar("T", bound=Stage)
_GATED = {"silu": "SwiGLU", "gelu": "GeGLU", "gelu_tanh": "GeGLU (tanh)"}
_UNGATED = {
    "gelu": "GELU", "gelu_tanh": "GELU (tanh)", "relu_squared": "squared ReLU", "xielu": "xIELU",
}  # fmt: skip
_GATINGS = {
    "softmax": "softmax of all", "sigmoid": "sigmoid of each",
    "softmax_of_used": "softmax of those used",
}  # fmt: skip
# What all models of a kind state, where the defaults of its class make none.
_STATED: dict[str, dict[str, object]] = {
    "glm4_moe": {"head_dim": 128},
    "gemma4_text": {
        "enable_moe_block": True,
        "num_experts": 128,
        "top_k_experts": 8,
        "moe_intermediate_size": 704,
    },
    "granitemoeshared": {"shared_intermediate_size": 1024},
    "granitemoehybrid": {"layer_types": ["mamba"] * 31 + ["attention"]},
    "nemotron_h": {"layers_block_type": ["mamba", "mlp", "attention"]},
    "nemotron_h_moe": {"layers_block_type": ["mamba", "moe", "attention"]},
    **{kind: {"layer_types": ["conv"] * 31 + ["full_attention"]} for kind in ("lfm2", "lfm2_moe")},
}
_RECURRENT: dict[type[Stage], str] = {
    Convolve: "short convolutions in place of attention",
    DeltaRule: "gated delta nets in place of attention",
    Scan: "Mamba-2 in place of attention",
}
_WINDOW, _PART = "sliding_window", "partial_rotary_factor"
_ROTATES = "position_embedding_type"


def family_rows(code: Callable[[str], str]) -> Iterator[tuple[str, ...]]:
    """A row for each family, in the order of the registry."""
    for family in registry.FAMILIES.values():
        configs = list(_configs(family))
        stages = {stage: None for config in configs for stage in family.stages(config)}
        yield (
            code(family.architecture),
            ", ".join(map(code, _kinds(family))),
            *_about(getdoc(_module_of(family)) or ""),
            _norms(list(stages)),
            _networks(list(stages), configs),
            _positions(family, configs, list(stages)),
            "; ".join(_besides(family, list(stages), code)) or "-",
        )


def _configs(family: Family) -> Iterator[ModelConfig]:
    """What its kinds are by default."""
    for kind in _kinds(family):
        stated = _STATED.get(kind if family.model_types else family.architecture, {})
        yield config_from_hf(Path(), {"model_type": kind, **stated})


def _kinds(family: Family) -> list[str]:
    """config.json's names of it; of one that only GGUF has a name for, those of its like."""
    alike = (kind for kind, one in registry.BY_MODEL_TYPE.items() if one.stages is family.stages)
    return list(family.model_types or alike)


def _module_of(family: Family) -> ModuleType:
    beside = f"{registry.__package__}."
    modules = (module for name, module in sys.modules.items() if name.startswith(beside))
    return next(one for one in modules if getattr(one, "FAMILY", None) is family)


def _about(doc: str) -> tuple[str, str]:
    """A docstring's first paragraph, and the papers that it names."""
    first = re.sub(r" \(arXiv:[^)]*\)", "", " ".join(doc.split("\n\n")[0].split()))
    papers = dict.fromkeys(re.findall(r"\b\d{4}\.\d{5}\b", doc))
    links = (f"[{paper}](https://arxiv.org/abs/{paper})" for paper in papers)
    return first.rstrip("."), ", ".join(links) or "-"


def _of(stages: list[Stage], kind: type[T]) -> list[T]:
    return [stage for stage in stages if isinstance(stage, kind)]


def _norms(stages: list[Stage]) -> str:
    norms = _of(stages, Norm)
    name = "LayerNorm" if any(norm.centers for norm in norms) else "RMSNorm"
    is_before, is_behind = any(norm.layer >= 0 for norm in norms), bool(_of(stages, PostNorm))
    places = " and ".join(
        place for place, has in (("before", is_before), ("behind", is_behind)) if has
    )
    found = [f"{name} {places}"]
    if any(rope.norms for rope in _of(stages, Rope)):
        found.append("of each head of q and k")
    if _of(stages, RowNorms):
        found.append("of all of q and of k")
    return "; ".join(found)


def _networks(stages: list[Stage], configs: list[ModelConfig]) -> str:
    found = {
        _GATED.get(one.activation, one.activation)
        if one.gate
        else f"{_UNGATED.get(one.activation, one.activation)}, no gate"
        for one in _of(stages, FeedForward)
    }
    parts = sorted(found)
    for config in configs:
        if config.experts is not None:
            parts.append(_experts(config.experts, stages))
    return "; ".join(dict.fromkeys(parts))


def _experts(experts: ExpertsConfig, stages: list[Stage]) -> str:
    words = [f"experts ({_GATINGS[experts.gating]}"]
    is_divided = experts.normalizes and experts.gating != "softmax_of_used"
    words.append(", divided by the sum of those used" if is_divided else "")
    words.append(", a bias for the choice" * any(r.selection_bias for r in _of(stages, Route)))
    words.append(", in groups" * (experts.n_groups > 1))
    words.append(", clamped" * any(one.clamps for one in _of(stages, ExpertsHidden)))
    words.append(f", default {experts.n_used} of {experts.n_experts})")
    words.append(" beside a network" * any(one.to != "x" for one in _of(stages, ExpertsOutput)))
    if experts.shared_dim:
        words.append(", a shared one" + " with a gate" * bool(_of(stages, AddGated)))
    return "".join(words)


def _positions(family: Family, configs: list[ModelConfig], stages: list[Stage]) -> str:
    found = ["learned" if family.learned_positions else "RoPE"]
    if not family.learned_positions:
        every = family.unrotated_every
        if every == 1:
            return "none"
        found += [f"where {key} says so" for key in (_ROTATES,) if key in family.reads]
        found += [f"none in every {_nth(every)} layer"] * bool(every)
        found += ["none in layers without a window, where there is one"] * family.rotates_in_windows
        found += ["of a part of a head, where stated"] * (_PART in family.reads)
    if any(_WINDOW in default for default in family.defaults.values()):
        every = family.full_every
        of = f"all but every {_nth(every)} layer" if every else "all layers"
        found.append(f"a window in {of}, where stated")
    if family.local_theta is not None:
        found.append("another base in layers with a window" if family.local_theta
                     else "stretched in layers without a window alone")  # fmt: skip
    if TEMPERATURE_KEY in family.reads:
        found.append("queries that grow with them")
    if any(one.sinks for one in _of(stages, Attend)):
        found.append("attention sinks")
    return "; ".join(found)


def _nth(n: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(n, f"{n}th")


def _besides(family: Family, stages: list[Stage], code: Callable[[str], str]) -> Iterator[str]:
    if any(one.source == "qkv" for one in _of(stages, GateAttended)):
        yield "a gate of attention's output with each query"
    kinds = {name for stage in stages if not isinstance(stage, Route | RecurrentStage)
             for name, kind in stage.tensors if kind == "bias"}  # fmt: skip
    always = sorted(kinds - {norm.weight for norm in _of(stages, Norm)})
    if family.has_latents:
        yield "keys and values kept as one compressed vector"
    if any(rope.value_norms for rope in _of(stages, Rope)):
        yield "norms of values"
    if family.has_sizes:
        yield "sizes of heads and networks by layer; last layers that read keys of earlier ones"
    if _of(stages, JoinRows):
        yield "embeddings of each layer, read from the file"
    for kind, what in _RECURRENT.items():
        if any(isinstance(stage, kind) for stage in stages):
            yield f"{what}, in layers that are stated"
    if always and not family.biases:
        yield "biases of " + ", ".join(map(code, always))
    for what, is_of in (("biases", False), ("norms of q's and k's heads", True)):
        keys = [key for key, fields in family.biases.items() if ("head_norms" in fields) is is_of]
        if keys:
            yield f"{what} where " + ", ".join(map(code, keys)) + " says so"
    if _fused(stages):
        yield "fused " + ", ".join(map(code, _fused(stages)))
    if any(one.scale != 1 for one in _of(stages, Embed)):
        yield "embeddings times sqrt(width)"
    for field in OPTIONS:
        if KEYS[field].hf in family.reads:
            yield code(KEYS[field].hf)
    if "query_pre_attn_scalar" in family.reads:
        yield code("query_pre_attn_scalar")


def _fused(stages: list[Stage]) -> list[str]:
    """Short names of matrices that are cut into several in memory."""
    names = (name for stage in stages if stage.packed != stage.matrices for name in stage.matrices
             if QUERY_GATE not in stage.packed)  # fmt: skip
    return list(dict.fromkeys(names))
