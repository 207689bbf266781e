"""Layers that carry a state from token to token."""

from __future__ import annotations

import numpy as np

from .model_file import F64, ModelFile


def convolution(m: ModelFile, block: str, x: F64) -> F64:
    """LFM2's short convolution (arXiv:2511.23404): zeros lie before the first row."""
    at = block + "shortconv."
    b, c, u = np.split(m.linear(at + "in_proj", x), 3, 1)
    taps, made = m.weight(at + "conv.weight"), np.zeros_like(u)
    for back in range(taps.shape[1]):
        made[back:] += (b * u)[: len(u) - back] * taps[:, -1 - back]
    if at + "conv.bias" in m.tensors:
        made += m.weight(at + "conv.bias")
    return m.linear(at + "out_proj", c * made)


def delta_net(m: ModelFile, block: str, x: F64) -> F64:
    """A gated delta net (arXiv:2412.06464), token by token."""
    n, (n_keys, n_heads, d_k, inner) = len(x), m.net_sizes
    d_v, group, is_tiled = inner // n_heads, n_heads // n_keys, m.architecture != "qwen3next"
    qkv, z = m.linear(block + "attn_qkv", x), m.linear(block + "attn_gate", x)
    taps = m.weight(block + "ssm_conv1d.weight")
    past = np.concatenate([np.zeros((taps.shape[1] - 1, len(taps))), qkv])
    mixed = sum(past[j : j + n] * taps[:, j] for j in range(taps.shape[1]))
    mixed = mixed / (1 + np.exp(-mixed))
    q, k = mixed[:, : n_keys * d_k], mixed[:, n_keys * d_k : 2 * n_keys * d_k]
    q, k = (y.reshape(n, n_keys, d_k) for y in (q, k))
    q, k = (y / np.sqrt((y * y).sum(-1, keepdims=True) + 1e-6) for y in (q, k))
    v = mixed[:, 2 * n_keys * d_k :].reshape(n, n_heads, d_v)
    if is_tiled:
        b, a = m.linear(block + "ssm_beta", x), m.linear(block + "ssm_alpha", x)
    else:
        both = m.linear(block + "ssm_ba", x).reshape(n, n_keys, 2, group)
        b, a = both[:, :, 0].reshape(n, -1), both[:, :, 1].reshape(n, -1)
    decay = np.exp(m.weight(block + "ssm_a") * np.log1p(
        np.exp(a + m.weight(block + "ssm_dt.bias"))))  # fmt: skip
    out = np.empty_like(v)
    for head in range(n_heads):
        key_head, state = head % n_keys if is_tiled else head // group, np.zeros((d_k, d_v))
        for t in range(n):
            state = decay[t, head] * state
            error = v[t, head] - k[t, key_head] @ state
            state = state + np.outer(k[t, key_head], error / (1 + np.exp(-b[t, head])))
            out[t, head] = q[t, key_head] @ state / d_k**0.5
    out = m.norm(block + "ssm_norm", out).reshape(n, -1)
    return m.linear(block + "ssm_out", out * z / (1 + np.exp(-z)))


def mamba(m: ModelFile, block: str, x: F64) -> F64:
    """Mamba-2 (arXiv:2405.21060), token by token."""
    names = ("conv1d.weight", "conv1d.bias", "dt.bias", "a", "d", "norm.weight")
    w = {name: m.weight(f"{block}ssm_{name}") for name in names}
    (n_groups, width), n_heads = w["norm.weight"].shape, w["a"].size
    inner, n_taps = n_groups * width, w["conv1d.weight"].shape[1]
    rows = m.linear(block + "ssm_in", x)
    z, u, dt = np.split(rows, [inner, rows.shape[1] - n_heads], axis=1)
    before = np.concatenate([np.zeros((n_taps - 1, u.shape[1])), u])
    u = w["conv1d.bias"] + sum(
        before[k : k + len(u)] * w["conv1d.weight"][:, k] for k in range(n_taps)
    )
    u = u / (1 + np.exp(-u))
    u, b, c = np.split(u, [inner, inner + (u.shape[1] - inner) // 2], axis=1)
    b, c = (y.reshape(len(u), n_groups, -1).repeat(n_heads // n_groups, 1) for y in (b, c))
    u, dt = u.reshape(len(u), n_heads, -1), np.log1p(np.exp(dt + w["dt.bias"]))
    h, out = np.zeros((n_heads, u.shape[2], b.shape[2])), np.empty_like(u)
    for t in range(len(u)):
        h = h * np.exp(dt[t, :, None, None] * w["a"][:, :, None])
        h = h + dt[t, :, None, None] * u[t][:, :, None] * b[t][:, None]
        out[t] = np.einsum("hpn,hn->hp", h, c[t]) + w["d"] * u[t]
    y = (out.reshape(z.shape) * z / (1 + np.exp(-z))).reshape(len(u), n_groups, -1)
    y = y / np.sqrt((y * y).mean(-1, keepdims=True) + m.eps) * w["norm.weight"]
    return m.linear(block + "ssm_out", y.reshape(z.shape))
