"""Feed-forward networks and experts."""

from __future__ import annotations

import numpy as np

from .model_file import F64, ModelFile


def feed_forward(m: ModelFile, block: str, x: F64, layer: int) -> F64:
    """What a layer's network makes of its normed input."""
    if block + "ffn_gate_inp.weight" in m.tensors:
        return _experts(m, block, x)
    up = m.linear(block + "ffn_up", x)
    if block + "ffn_gate.weight" in m.tensors:
        hidden = activated(m, m.linear(block + "ffn_gate", x)) * up
    elif up.shape[1] == 2 * m.weight(block + "ffn_down.weight").shape[1]:
        gate, up = np.split(up, 2, axis=1)  # both are one tensor
        hidden = activated(m, gate) * up
    elif m.xielu:  # arXiv:2411.13010; alphas are stored before their softplus
        alpha_p, alpha_n, beta, eps = (values[layer] for values in m.xielu)
        above = np.log1p(np.exp(alpha_p)) * up * up
        below = (beta + np.log1p(np.exp(alpha_n))) * (np.expm1(np.minimum(up, eps)) - up)
        hidden = beta * up + np.where(up > 0, above, below)
    else:
        hidden = activated(m, up)
    return m.linear(block + "ffn_down", hidden)


def _experts(m: ModelFile, block: str, x: F64) -> F64:
    """Each token's best experts, weighed by the softmax of their logits, or their sigmoids."""
    logits = m.linear(block + "ffn_gate_inp", x)
    up, down = (m.weight(f"{block}ffn_{n}_exps.weight") for n in ("up", "down"))
    has_gate = f"{block}ffn_gate_exps.weight" in m.tensors
    gate = m.weight(f"{block}ffn_gate_exps.weight") if has_gate else up
    out = np.zeros_like(x)
    for row, logit in enumerate(logits):
        scores = np.exp(logit - logit.max())
        scores = 1 / (1 + np.exp(-logit)) if m.is_sigmoid else scores / scores.sum()
        used = np.argsort(-_wanted(m, block, scores))[: m.n_used]
        total = (scores[used].sum() if m.normalizes else 1) / m.expert_scale
        for e, weight in zip(used, scores[used] / total, strict=True):
            g, u = gate[e] @ x[row], up[e] @ x[row]
            if not has_gate:
                out[row] += weight * (down[e] @ activated(m, u))
            elif m.architecture == "gpt-oss":
                out[row] += weight * _clamped(m, block, e, g, u, down[e])
            else:
                out[row] += weight * (down[e] @ (g / (1 + np.exp(-g)) * u))
    if block + "ffn_up_shexp.weight" in m.tensors:
        out += _shared(m, block, x)
    return out


def _clamped(m: ModelFile, block: str, e: int, g: F64, u: F64, down: F64) -> F64:
    """What one of gpt-oss' experts gives."""
    gate_bias, up_bias, down_bias = (
        m.weight(f"{block}ffn_{n}_exps.bias")[e] for n in ("gate", "up", "down")
    )
    g, u = np.minimum(g + gate_bias, 7), np.clip(u + up_bias, -7, 7)
    out: F64 = down @ (g / (1 + np.exp(-1.702 * g)) * (u + 1)) + down_bias
    return out


def _wanted(m: ModelFile, block: str, scores: F64) -> F64:
    """By what experts are chosen: only those of the best groups, by their best one or two."""
    if block + "exp_probs_b.bias" in m.tensors:
        scores = scores + m.weight(block + "exp_probs_b.bias").ravel()
    n, n_used = m.n_groups
    best = np.sort(scores.reshape(n, -1), -1)[:, -2 if m.is_sigmoid else -1 :].sum(-1)
    kept = np.isin(np.arange(n), np.argsort(-best)[:n_used])
    return np.where(kept.repeat(len(scores) // n), scores, -np.inf)


def _shared(m: ModelFile, block: str, x: F64) -> F64:
    """What the expert gives that all tokens have."""
    up, down = (m.weight(f"{block}ffn_{n}_shexp.weight") for n in ("up", "down"))
    if f"{block}ffn_gate_shexp.weight" not in m.tensors:
        return activated(m, x @ up.T) @ down.T
    g = x @ m.weight(f"{block}ffn_gate_shexp.weight").T
    shared: F64 = (g / (1 + np.exp(-g)) * (x @ up.T)) @ down.T
    if block + "ffn_gate_inp_shexp.weight" not in m.tensors:
        return shared
    own = x @ m.weight(block + "ffn_gate_inp_shexp.weight").reshape(-1, 1)
    return shared / (1 + np.exp(-own))


def activated(m: ModelFile, x: F64) -> F64:
    """The family's activation."""
    if m.architecture.startswith("nemotron"):
        return np.square(np.maximum(x, 0))
    if m.architecture.startswith(("gemma", "starcoder")):  # GELU's tanh form
        return x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))
    out: F64 = x / (1 + np.exp(-x))
    return out
