"""A model's experts as config.json states them."""

from __future__ import annotations

from typing import Any

from halfbyte.families.config import MAX_DIM, MAX_LAYERS, ExpertsConfig
from halfbyte.families.experts_from_gguf import MAX_EXPERTS
from halfbyte.families.family import ExpertRules, Family
from halfbyte.families.hf_reader import Reader

_SPARSE = "sparse"


def read_experts(
    reader: Reader, family: Family, hidden_dim: int, n_layers: int
) -> ExpertsConfig | None:
    """The experts of a checkpoint whose layers are `hidden_dim` wide; None: it has none.

    Raises:
        ConversionError: a number is missing or out of range, or stands under two names.
    """
    rules = family.experts
    if rules is None or not expert_keys(reader, family):
        return None
    if rules.may_lack and _stated(reader, rules, "n_experts")[1] == 0:
        return None
    n = _count(reader, rules, "n_experts", None, 1, MAX_EXPERTS)
    n_used = _count(reader, rules, "n_used", None, 1, n)
    width = _count(reader, rules, "hidden_dim", hidden_dim, 1, MAX_DIM)
    n_shared = _count(reader, rules, "n_shared", 0, 0, MAX_EXPERTS)
    n_groups = _count(reader, rules, "n_groups", 1, 1, n)
    n_groups_used = _count(reader, rules, "n_groups_used", 1, 1, n_groups)
    n_dense = _leading(reader, rules, n_layers)
    if n % n_groups or n_groups_used * (n // n_groups) < n_used:
        key = rules.hf["n_groups"]
        got = f"{n_groups_used} of {n_groups}"
        raise reader.bad(key, f"groups of {n} experts that hold {n_used}", got)
    return ExpertsConfig(
        n, n_used, width, n_shared,
        _count(reader, rules, "shared_dim", n_shared * width, 0, MAX_DIM),
        n_dense_layers=n_dense,
        gating=rules.gating,
        normalizes=_normalizes(reader, rules),
        scale=_scale(reader, rules),
        n_groups=n_groups,
        n_groups_used=n_groups_used,
        dense_layers=_dense_layers(reader, rules, n_dense, n_layers),
    )  # fmt: skip


def expert_keys(reader: Reader, family: Family) -> frozenset[str]:
    """The keys that say what experts a kind of model has; none where it has none."""
    rules = family.experts
    if rules is None or (rules.switch and not reader.flag(rules.switch, False)):
        return frozenset()
    says = any(one in reader.defaults for one in rules.hf["n_experts"].split())
    return rules.hf_keys if says else frozenset()


def _stated(reader: Reader, rules: ExpertRules, field: str) -> tuple[str, Any]:
    """The key of a field and its value; None where nothing says it."""
    names = rules.hf.get(field, "").split()
    found = {name: reader.config[name] for name in names if reader.config.get(name) is not None}
    if len({repr(value) for value in found.values()}) > 1:
        raise reader.bad(" and ".join(found), "the same of both", list(found.values()))
    for name, value in found.items():
        return name, value
    return names[0] if names else field, reader.defaults.get(names[0]) if names else None


def _count(
    reader: Reader, rules: ExpertRules, field: str, default: int | None, least: int, most: int
) -> int:
    key, value = _stated(reader, rules, field)
    value = default if value is None else value
    if type(value) is not int or not least <= value <= most:
        raise reader.bad(key, f"a whole number from {least} to {most}", value)
    return value


def _leading(reader: Reader, rules: ExpertRules, n_layers: int) -> int:
    """The first layers, which have a network: by a list of all layers' kinds, or their number."""
    key, kinds = _stated(reader, rules, "kinds")
    if kinds is None:  # one, as transformers has it of models with that list
        usual = int("kinds" in rules.hf)
        return _count(reader, rules, "n_dense_layers", usual, 0, n_layers)
    n = kinds.index(_SPARSE) if isinstance(kinds, list) and _SPARSE in kinds else -1
    if n < 0 or kinds != ["dense"] * n + [_SPARSE] * (n_layers - n):
        wanted = f'"dense" for the first of {n_layers} layers, "sparse" for the others'
        raise reader.bad(key, wanted, kinds)
    return n


def _dense_layers(reader: Reader, rules: ExpertRules, first: int, n_layers: int) -> tuple[int, ...]:
    """Layers from `first` on that have a network in place of experts."""
    every = _count(reader, rules, "every", 1, 1, MAX_LAYERS)
    last = _count(reader, rules, "last", -1, -1, MAX_LAYERS)
    key, listed = _stated(reader, rules, "dense_layers")
    listed = [] if listed is None else listed
    if not isinstance(listed, list) or not all(type(i) is int and i >= 0 for i in listed):
        raise reader.bad(key, "a list of layers' numbers", listed)
    last = n_layers if last < 0 else last
    layers = range(first, n_layers)
    return tuple(i for i in layers if (i + 1) % every or i > last or i in listed)


def _normalizes(reader: Reader, rules: ExpertRules) -> bool:
    key, value = _stated(reader, rules, "normalizes")
    value = rules.normalizes if value is None else value
    if not isinstance(value, bool):
        raise reader.bad(key, "true or false", value)
    return value


def _scale(reader: Reader, rules: ExpertRules) -> float:
    key, value = _stated(reader, rules, "scale")
    return 1.0 if value is None else reader.positive(key, value)
