"""Which experts tokens go to, in float32 NumPy: what kernels/stages/routing.py does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.config import ExpertsConfig

F32 = NDArray[np.float32]
Ids = NDArray[np.int64]


def route(e: ExpertsConfig, logits: F32, bias: F32 | None) -> tuple[Ids, F32]:
    """Experts of each row, the best first, of equal ones the first, and their weights: (T, used).

    Args:
        e: how they are chosen.
        logits: of the router, (T, n_experts).
        bias: (n_experts,), added to the scores for choosing alone.
    """
    if e.gating == "sigmoid":
        scores = sigmoid(logits)
    elif e.gating == "softmax":
        scores = _softmax(logits)
    else:
        scores = logits
    wanted = scores if bias is None else scores + bias
    if e.n_groups > 1:
        wanted = _of_best_groups(e, wanted)
    ids = np.argsort(-wanted, axis=-1, kind="stable")[:, : e.n_used]
    weights = np.take_along_axis(scores, ids, -1)
    if e.gating == "softmax_of_used":
        weights = _softmax(weights)
    if e.normalizes:
        weights = weights / (weights.sum(-1, keepdims=True) + np.float32(1e-20))
    return ids, weights * np.float32(e.scale)


def by_expert(ids: Ids, weights: F32) -> list[tuple[int, Ids, F32]]:
    """Each expert that has rows: its number, the rows (n,) and their weights (n,)."""
    found = []
    for e in np.unique(ids).tolist():
        rows, slots = np.nonzero(ids == e)
        found.append((e, rows, weights[rows, slots]))
    return found


def expert_name(name: str, expert: int) -> str:
    """What an expert's part of a tensor is called."""
    return f"{name}/{expert}"


def split_name(name: str) -> tuple[str, int | None]:
    """The opposite of it; None: the whole tensor."""
    name, _, expert = name.partition("/")
    return name, int(expert) if expert else None


def sigmoid(x: F32) -> F32:
    """1 / (1 + e ** -x)."""
    with np.errstate(over="ignore"):
        out: F32 = np.float32(1) / (np.float32(1) + np.exp(-x))
    return out


def _of_best_groups(e: ExpertsConfig, wanted: F32) -> F32:
    """-inf where an expert is of none of the groups whose best ones together are best."""
    groups = wanted.reshape(len(wanted), e.n_groups, -1)
    sums = np.sort(groups, -1)[..., -e.n_group_best :].sum(-1)
    order = np.argsort(-sums, axis=-1, kind="stable")[:, : e.n_groups_used]
    kept = np.zeros(sums.shape, bool)
    np.put_along_axis(kept, order, True, -1)
    return np.where(kept[..., None], groups, np.float32(-np.inf)).reshape(wanted.shape)


def _softmax(x: F32) -> F32:
    out = np.exp(x - x.max(-1, keepdims=True))
    out /= out.sum(-1, keepdims=True)
    return out
