"""Mamba-2's own stages in float32 NumPy, as kernels/stages/mamba2.py has them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from halfbyte.families.mamba2 import CONV, DT, A, D
from halfbyte.families.mamba2_config import Mamba2
from halfbyte.quality.layer_source import F32


def scan(m: Mamba2, w: Mapping[str, F32], rows: F32) -> F32:
    """What heads give of a window of rows [z, x, B, C, dt]: (T, output_dim)."""
    z, x, dt = np.split(rows, [m.output_dim, m.output_dim + m.conv_width], axis=1)
    x = _silu(_convolved(x, w[CONV].reshape(m.conv_width, -1)) + w[f"{CONV}.bias"])
    x, b, c = np.split(x, [m.output_dim, m.output_dim + m.n_groups * m.n_state], axis=1)
    dt = np.clip(np.logaddexp(np.float32(0), dt + w[f"{DT}.bias"]), *map(np.float32, m.dt_limits))
    decay = np.exp(dt * w[A].reshape(-1))
    x = x.reshape(-1, m.n_heads, m.head_dim)
    shared = m.n_heads // m.n_groups
    b, c = (y.reshape(len(x), m.n_groups, -1).repeat(shared, axis=1) for y in (b, c))
    out = w[D].reshape(-1, 1) * x
    h = np.zeros((m.n_heads, m.n_state, m.head_dim), np.float32)
    for t in range(len(x)):
        h *= decay[t, :, None, None]
        h += b[t, :, :, None] * (dt[t, :, None] * x[t])[:, None]
        out[t] += np.matmul(c[t, :, None], h)[:, 0]
    gated: F32 = out.reshape(len(x), -1) * _silu(z)
    return gated


def group_norms(m: Mamba2, x: F32, weight: F32, eps: float) -> F32:
    """RMSNorm of each group of features: (T, output_dim)."""
    groups = x.reshape(len(x), m.n_groups, -1)
    scale = np.sqrt(np.square(groups).mean(-1, keepdims=True) + np.float32(eps))
    out: F32 = (groups / scale).reshape(x.shape) * weight.reshape(-1)
    return out


def _silu(x: F32) -> F32:
    with np.errstate(over="ignore"):
        out: F32 = x / (1 + np.exp(-x))
    return out


def _convolved(x: F32, taps: F32) -> F32:
    """A window (T, features) with each feature's taps, (features, n_taps): zeros lie before it."""
    n, n_taps = len(x), taps.shape[1]
    x = np.concatenate([np.zeros((n_taps - 1, x.shape[1]), np.float32), x])
    out: F32 = sum((x[j : j + n] * taps[:, j] for j in range(n_taps)), np.float32(0))
    return out
