"""Gated delta nets as their equations are written, token by token and head by head, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.delta_net_config import DeltaNet

F64 = NDArray[np.float64]


@dataclass
class DeltaWeights:
    """Of a layer: taps (conv_width, n_taps), the others (n_value_heads,) and (value_dim,)."""

    taps: F64
    decay: F64
    dt: F64
    norm: F64
    eps: float = 1e-6


@dataclass
class Rows:
    """What a layer's matrices give: (T, conv_width), (T, n_value_heads) twice, (T, output_dim)."""

    qkv: F64
    b: F64
    a: F64
    z: F64


def delta_net(d: DeltaNet, w: DeltaWeights, x: Rows) -> F64:
    """What it gives: (T, output_dim)."""
    n, n_keys = len(x.qkv), d.n_key_heads * d.key_dim
    past = np.concatenate([np.zeros((d.n_taps - 1, d.conv_width)), x.qkv])
    mixed = np.stack([(past[t : t + d.n_taps] * w.taps.T).sum(0) for t in range(n)])
    mixed = mixed / (1 + np.exp(-mixed))
    q, k = (y.reshape(n, d.n_key_heads, -1) for y in np.split(mixed[:, : 2 * n_keys], 2, axis=1))
    v = mixed[:, 2 * n_keys :].reshape(n, d.n_value_heads, d.value_dim)
    out = np.empty_like(v)
    for j in range(d.n_value_heads):
        key_head = j % d.n_key_heads if d.is_tiled else j // d.n_parts
        state = np.zeros((d.key_dim, d.value_dim))
        for t in range(n):
            q_t, k_t = (y[t, key_head] / np.sqrt((y[t, key_head] ** 2).sum() + 1e-6)
                        for y in (q, k))  # fmt: skip
            state = state * np.exp(w.decay[j] * np.log1p(np.exp(x.a[t, j] + w.dt[j])))
            delta = (v[t, j] - state.T @ k_t) / (1 + np.exp(-x.b[t, j]))
            state = state + np.outer(k_t, delta)
            out[t, j] = state.T @ q_t / np.sqrt(d.key_dim)
    out = out / np.sqrt((out**2).mean(-1, keepdims=True) + w.eps) * w.norm
    return out.reshape(n, -1) * x.z / (1 + np.exp(-x.z))


def from_turns(d: DeltaNet, both: F64) -> tuple[F64, F64]:
    """b and a of value heads, where those of a key head stand side by side."""
    b, a = np.split(both.reshape(len(both), d.n_key_heads, -1), 2, axis=2)
    return b.reshape(len(both), -1), a.reshape(len(both), -1)


def gates_in_turn(d: DeltaNet, b: F64, a: F64) -> F64:
    """b and a of each key head's value heads side by side, as Qwen3-Next's matrix gives them."""
    shape = (len(b), d.n_key_heads, d.n_parts)
    return np.concatenate([b.reshape(shape), a.reshape(shape)], axis=2).reshape(len(b), -1)
