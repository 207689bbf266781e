"""Causal attention in float32 NumPy: the twin of kernels/stages/attention.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.config import ModelConfig
from halfbyte.quality.activations import soft_cap

F32 = NDArray[np.float32]

_N_QUERIES = 512


def attention(c: ModelConfig, q: F32, k: F32, v: F32, window: int, sinks: F32 | None) -> F32:
    """Causal attention of a text: q (H, T, D), k (G, T, D), v (G, T, E) -> (T, H E)."""
    (n_heads, n, d), width = q.shape, v.shape[-1]
    qs, out = q.reshape(len(k), -1, n, d), np.empty((n, n_heads * width), np.float32)
    for begin in range(0, n, _N_QUERIES):
        end = min(begin + _N_QUERIES, n)
        scores = qs[:, :, begin:end] @ k[:, None, :end].swapaxes(-1, -2)
        scores *= np.float32(d**-0.5)
        if c.attn_softcap:
            scores = soft_cap(scores, c.attn_softcap)
        scores += _mask(begin, end, window)
        if sinks is not None:  # one more key, without a value
            column = sinks.reshape(len(k), -1, 1, 1).repeat(end - begin, 2)
            scores = np.concatenate([scores, column], axis=-1)
        heads = _softmax(scores)[..., :end] @ v[:, None, :end]
        heads = heads.reshape(n_heads, end - begin, width)
        out[begin:end] = heads.swapaxes(0, 1).reshape(end - begin, -1)
    return out


def _mask(begin: int, end: int, window: int) -> F32:
    """0 where query begin + i sees key j < end, else -inf: (end - begin, end)."""
    distance = np.arange(begin, end)[:, None] - np.arange(end)
    hidden = (distance < 0) | (distance >= window if window else False)
    return np.where(hidden, np.float32(-np.inf), np.float32(0))


def _softmax(x: F32) -> F32:
    x -= x.max(-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(-1, keepdims=True)
    return x
