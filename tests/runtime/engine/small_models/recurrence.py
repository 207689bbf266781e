"""Layers that carry a state from token to token, in float64."""

from __future__ import annotations

import numpy as np
from delta_twin import DeltaWeights, Rows, delta_net, from_turns

from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.mamba2_config import Mamba2

from .computation import Computation
from .rounding import F64


def _convolution(m: Computation, h: F64, at: str) -> F64:
    """LFM2's, feature by feature: zeros lie before the first row."""
    b, gate, u = np.split(m.product(h, at + "shortconv.in_proj.weight"), 3, axis=1)
    taps = m.w[at + "shortconv.conv.weight"]
    made = np.stack(
        [np.convolve(b[:, i] * u[:, i], taps[i, ::-1])[: m.n] for i in range(m.config.dim)]
    )
    made = made.T + m.w.get(at + "shortconv.conv.bias", 0)
    return m.product(gate * made, at + "shortconv.out_proj.weight")


def _mamba(m: Computation, h: F64, at: str) -> F64:
    """Mamba-2, token by token."""
    r = m.config.recurrent
    z, u, dt = np.split(m.product(h, at + "ssm_in.weight"), [r.output_dim, -r.n_heads], axis=1)
    taps = m.w[at + "ssm_conv1d.weight"]
    u = np.stack([np.convolve(u[:, i], taps[i, ::-1])[: m.n] for i in range(r.conv_width)], 1)
    u = u + m.w[at + "ssm_conv1d.bias"]
    u = u / (1 + np.exp(-u))
    u, b, k = np.split(u, [r.output_dim, r.output_dim + r.n_groups * r.n_state], axis=1)
    b, k = (y.reshape(m.n, r.n_groups, -1).repeat(r.n_heads // r.n_groups, 1) for y in (b, k))
    u = u.reshape(m.n, r.n_heads, r.head_dim)
    dt = np.clip(np.log1p(np.exp(dt + m.w[at + "ssm_dt.bias"])), *r.dt_limits)
    state, out = np.zeros((r.n_heads, r.head_dim, r.n_state)), np.empty_like(u)
    for t in range(m.n):
        state = state * np.exp(dt[t] * m.w[at + "ssm_a"])[:, None, None]
        state = state + dt[t][:, None, None] * u[t][:, :, None] * b[t][:, None]
        out[t] = np.einsum("hpn,hn->hp", state, k[t]) + m.w[at + "ssm_d"][:, None] * u[t]
    y = (out.reshape(m.n, -1) * z / (1 + np.exp(-z))).reshape(m.n, r.n_groups, -1)
    y = y / np.sqrt((y * y).mean(-1, keepdims=True) + m.config.norm_eps)
    return m.product(y.reshape(m.n, -1) * m.w[at + "ssm_norm.weight"], at + "ssm_out.weight")


def _delta_net(m: Computation, h: F64, at: str) -> F64:
    """Qwen3-Next's, token by token."""
    d, names = m.config.recurrent, ("attn_qkv", "ssm_beta", "ssm_alpha", "attn_gate")
    if not d.is_tiled:
        names = ("attn_qkv", "ssm_ba", "attn_gate")
    qkv, *gates, z = (m.product(h, f"{at}{name}.weight") for name in names)
    weights = DeltaWeights(
        m.w[at + "ssm_conv1d.weight"],
        m.w[at + "ssm_a"],
        m.w[at + "ssm_dt.bias"],
        m.w[at + "ssm_norm.weight"],
        m.config.norm_eps,
    )
    b, a = gates if d.is_tiled else from_turns(d, gates[0])
    made = delta_net(d, weights, Rows(qkv, b, a, z))
    return m.product(made, at + "ssm_out.weight")


def mixing(m: Computation, h: F64, at: str) -> F64:
    """What a recurrent layer makes of it."""
    if isinstance(m.config.recurrent, DeltaNet):
        return _delta_net(m, h, at)
    return (_mamba if isinstance(m.config.recurrent, Mamba2) else _convolution)(m, h, at)
