"""A model's experts as its GGUF file states them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import (
    DENSE_KEY,
    EXPERT_KEYS,
    GATINGS,
    MAX_DIM,
    STEP_KEY,
    ExpertsConfig,
    ModelConfig,
)
from halfbyte.families.family import Family
from halfbyte.families.metadata_keys import is_saved
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata

MAX_EXPERTS = 4096  # of a layer
_FUSED = ".ffn_gate_up_exps.weight"


def read_experts(
    file: GGUFFile, family: Family, hidden_dim: int, n_layers: int
) -> ExpertsConfig | None:
    """The experts of a model whose layers are `hidden_dim` wide; None: it has none.

    Raises:
        ModelFileError: a number is missing or out of range.
        UnsupportedModelError: another way to choose them.
    """
    rules, m = family.experts, file.metadata
    if rules is None or not has_experts(m, family):
        return None
    key = {field: f"{family.architecture}.{name}" for field, name in EXPERT_KEYS.items()}

    def count(field: str, default: int, most: int, least: int = 0) -> int:
        return m.get_int(key[field], default, minimum=least, maximum=most)

    n = m.get_int(key["n_experts"], minimum=1, maximum=MAX_EXPERTS)
    n_used = m.get_int(key["n_used"], minimum=1, maximum=n)
    width = count("hidden_dim", hidden_dim if rules.is_wide else hidden_dim // n_used, MAX_DIM, 1)
    n_groups = max(count("n_groups", 1, n), 1)
    n_groups_used = max(count("n_groups_used", 1, n_groups), 1)
    if n % n_groups or n_groups_used * (n // n_groups) < n_used:
        raise ModelFileError(
            m.path, key["n_groups"], expected=f"groups of {n} experts that hold {n_used}",
            got=f"{n_groups_used} of {n_groups}",
        )  # fmt: skip
    n_shared = count("n_shared", 0, MAX_EXPERTS)
    shared = count("shared_dim", n_shared * width or hidden_dim * rules.has_shared, MAX_DIM)
    # llama.cpp's saver states its default, though its code for these architectures has their own.
    normalizes = rules.normalizes
    if rules.states_norm or not is_saved(m, family.architecture):
        normalizes = m.get_bool(key["normalizes"], normalizes)
    n_dense = count("n_dense_layers", 0, n_layers)
    return ExpertsConfig(
        n, n_used, width, n_shared, shared,
        n_dense_layers=n_dense,
        gating=_gating(m, key["gating"], rules.gating),
        normalizes=normalizes,
        scale=m.get_float(key["scale"]) if m.states(key["scale"]) else 1.0,
        n_groups=n_groups,
        n_groups_used=n_groups_used,
        dense_layers=_dense_layers(m, family, n_dense, n_layers),
        is_fused=any(name.endswith(_FUSED) for name in file.tensors),
    )  # fmt: skip


def check_expert_counts(file: GGUFFile, family: Family, config: ModelConfig) -> None:
    """Refuse what would change nothing, as the family has no such tensors.

    Raises:
        UnsupportedModelError: layers without experts, or shared ones, of a family without any.
    """
    e = config.experts
    if e is None:
        return
    wanted = [spec.name for spec in family.tensors(config)]
    neutral: dict[str, Any] = {"n_dense_layers": 0, "dense_layers": ()}
    if any(map(config.has_experts, range(config.n_layers))):  # else shared ones have no layer
        neutral["shared_dim"] = 0
    for name, nothing in neutral.items():
        stated = getattr(e, name)
        other = replace(config, experts=replace(e, **{name: nothing}))
        if stated != nothing and [spec.name for spec in family.tensors(other)] == wanted:
            key = f"{family.architecture}.{EXPERT_KEYS[name]}" if name in EXPERT_KEYS else DENSE_KEY
            what = f"none: {family.architecture} has no such layers or experts"
            raise UnsupportedModelError(file.path, key, expected=what, got=stated)


def has_experts(m: Metadata, family: Family) -> bool:
    """Whether a file's layers have experts."""
    key = f"{family.architecture}.{EXPERT_KEYS['n_experts']}"
    return family.experts is not None and (m.states(key) or not family.experts.may_lack)


def _dense_layers(m: Metadata, family: Family, first: int, n_layers: int) -> tuple[int, ...]:
    """Layers from `first` on that have a network in place of experts."""
    step, stated = 1, list[int]()
    if STEP_KEY in family.reads:
        key = f"{family.architecture}.{STEP_KEY}"
        step = m.get_int(key, 1, minimum=1, maximum=n_layers)
    if DENSE_KEY in m:
        stated = m.get_numbers(DENSE_KEY, floats=False).tolist()
        if not all(0 <= i < n_layers for i in stated):
            expected = f"layers of {n_layers}"
            raise ModelFileError(m.path, DENSE_KEY, expected=expected, got=stated)
    return tuple(i for i in range(first, n_layers) if (i + 1) % step or i in stated)


def _gating(m: Metadata, key: str, usual: str) -> str:
    number = m.get_int(key, 0)
    names = {value: name for name, value in GATINGS.items()}
    if number and number not in names:
        raise UnsupportedModelError(m.path, key, expected=f"one of {GATINGS}", got=number)
    return names.get(number, usual)
