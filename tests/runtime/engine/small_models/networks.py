"""Feed-forward networks and experts in float64."""

from __future__ import annotations

import numpy as np

from .computation import Computation
from .rounding import F64


def network(m: Computation, x: F64, i: int, before: str) -> F64:
    """What a layer's experts or feed-forward network add, behind that norm."""
    at = f"blk.{i}."
    h = m.norm(x, at + before)
    if m.config.has_experts(i):
        return _experts(m, at, h) + _shared_expert(m, at, h)
    up = m.product(h, at + "ffn_up.weight")
    if at + "ffn_gate.weight" in m.w:
        up = m.activated(m.product(h, at + "ffn_gate.weight")) * up
    else:
        up = m.activated(up)
    return m.norm(m.product(up, at + "ffn_down.weight"), at + "post_ffw_norm")


def _shared_expert(m: Computation, at: str, h: F64) -> F64 | int:
    """What the expert of all tokens adds, if there is one."""
    if at + "ffn_gate_shexp.weight" in m.w:
        gate, up = (m.product(h, f"{at}ffn_{k}_shexp.weight") for k in ("gate", "up"))
        shared = m.product(m.activated(gate) * up, at + "ffn_down_shexp.weight")
        if at + "ffn_gate_inp_shexp.weight" in m.w:
            own = m.product(h, at + "ffn_gate_inp_shexp.weight")
            shared = shared / (1 + np.exp(-own))
        return shared
    if m.config.experts.shared_dim:
        up = m.activated(m.product(h, at + "ffn_up_shexp.weight"))
        return m.product(up, at + "ffn_down_shexp.weight")
    return 0


def _experts(m: Computation, at: str, h: F64) -> F64:
    """What the experts of a layer add."""
    e = m.config.experts
    names = {k: f"{at}ffn_{k}_exps.weight" for k in ("gate", "up", "down")}
    w = {k: m.met(h, name)[1] for k, name in names.items() if name in m.w}
    x, _ = m.met(h, names["up"])
    logits = h @ m.w[f"{at}ffn_gate_inp.weight"].T + m.w.get(f"{at}ffn_gate_inp.bias", 0)
    biases = [m.w.get(f"{at}ffn_{k}_exps.bias", np.zeros(e.n_experts))
              for k in ("gate", "up", "down")]  # fmt: skip
    if e.gating == "sigmoid":
        scores = 1 / (1 + np.exp(-logits))
    else:
        scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    out, bias = np.zeros_like(h), m.w.get(f"{at}exp_probs_b.bias", 0)
    for row, score in enumerate(scores):
        biased = score + bias
        groups = np.sort(biased.reshape(e.n_groups, -1), -1)[:, -2:].sum(-1)
        kept = np.isin(np.arange(e.n_groups), np.argsort(-groups)[: e.n_groups_used])
        wanted = np.where(np.repeat(kept, e.n_experts // e.n_groups), biased, -np.inf)
        used = np.argsort(-wanted, kind="stable")[: e.n_used]
        for i in used:
            gate = x[row : row + 1] @ w.get("gate", w["up"])[i].T + biases[0][i]
            up = x[row : row + 1] @ w["up"][i].T + biases[1][i]
            hidden = gate / (1 + np.exp(-gate)) * up
            if "gate" not in w:
                hidden = np.square(np.maximum(up, 0))
            if m.config.architecture == "gpt-oss":
                gate, up = np.minimum(gate, 7), np.clip(up, -7, 7)
                hidden = gate / (1 + np.exp(-1.702 * gate)) * (up + 1)
            y = (m.met(hidden, names["up"])[0] @ w["down"][i].T + biases[2][i])[0]
            out[row] += e.scale * score[i] / score[used].sum() * y
    return out
