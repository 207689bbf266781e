"""A model's experts as its GGUF file states them."""

from __future__ import annotations

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import EXPERT_KEYS, GATINGS, MAX_DIM, ExpertsConfig
from halfbyte.families.family import Family
from halfbyte.families.metadata_keys import is_saved
from halfbyte.gguf.metadata import Metadata

MAX_EXPERTS = 4096  # of a layer


def read_experts(
    m: Metadata, family: Family, hidden_dim: int, n_layers: int
) -> ExpertsConfig | None:
    """The experts of a model whose layers are `hidden_dim` wide; None: it has none.

    Raises:
        ModelFileError: a number is missing or out of range.
        UnsupportedModelError: another way to choose them.
    """
    rules = family.experts
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
    if not is_saved(m, family.architecture):
        normalizes = m.get_bool(key["normalizes"], normalizes)
    says_scale = key["scale"] in m and m.raw(key["scale"]).value != 0
    return ExpertsConfig(
        n, n_used, width, n_shared, shared,
        n_dense_layers=count("n_dense_layers", 0, n_layers),
        gating=_gating(m, key["gating"], rules.gating),
        normalizes=normalizes,
        scale=m.get_float(key["scale"]) if says_scale else 1.0,
        n_groups=n_groups,
        n_groups_used=n_groups_used,
    )  # fmt: skip


def has_experts(m: Metadata, family: Family) -> bool:
    """Whether a file's layers have experts."""
    key = f"{family.architecture}.{EXPERT_KEYS['n_experts']}"
    says = key in m and m.raw(key).value != 0
    return family.experts is not None and (says or not family.experts.may_lack)


def _gating(m: Metadata, key: str, usual: str) -> str:
    number = m.get_int(key, 0)
    names = {value: name for name, value in GATINGS.items()}
    if number and number not in names:
        raise UnsupportedModelError(m.path, key, expected=f"one of {GATINGS}", got=number)
    return names.get(number, usual)
