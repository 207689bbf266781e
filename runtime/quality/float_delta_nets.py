"""Gated delta nets in float32 NumPy, for float_recurrence.py: a window begins with zeros.

64 tokens are done at once, since there is a loop over windows and heads already: what a token adds
to a state is found from what those before it added, by solving a triangular system.
Source: arXiv:2412.06464, section 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_net import (
    CONV,
    DECAY,
    DT,
    NORM,
    delta_net_of,
)
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.tensors import kind_after_kind
from halfbyte.quality.convolution import convolved
from halfbyte.quality.layer_source import F32
from halfbyte.quality.norms import rms_norm
from halfbyte.quality.routing import sigmoid

_EPS = np.float32(1e-6)
_TOKENS = 64


class FloatDeltaNets:
    """What a layer's gives with the weights `w` (by short name) of the buffer `qkvz`."""

    def __init__(self, config: ModelConfig, w: Mapping[str, F32]) -> None:
        self._w, self._d, self._norm_eps = w, delta_net_of(config), config.norm_eps

    def run(self, made: list[F32], n_windows: int) -> F32:
        """`mixed`, (b T, output_dim), of what the layer's matrices give."""
        if self._d.is_fused:
            qkvz, *gates = made
            qkvz = qkvz[:, kind_after_kind(self._d.turns, qkvz.shape[1])]
            made = [qkvz[:, : self._d.conv_width], *gates, qkvz[:, self._d.conv_width :]]
        parts = zip(*(np.split(x, n_windows) for x in made), strict=True)
        return np.concatenate([self._window(list(part)) for part in parts])

    def _window(self, made: list[F32]) -> F32:
        d, n = self._d, len(made[0])
        qkv, *gates, z = made
        mixed = _silu(convolved(qkv, self._w[CONV]))
        n_keys = d.n_key_heads * d.key_dim
        q, k, v = np.split(mixed, [n_keys, 2 * n_keys], axis=1)
        q, k = (_unit(x.reshape(n, d.n_key_heads, d.key_dim))[:, self._key_heads()] for x in (q, k))
        b, a = _rates(d, gates)
        log_decay = self._w[DECAY] * np.logaddexp(np.float32(0), a + self._w[f"{DT}.bias"])
        q = q / np.float32(np.sqrt(d.key_dim))
        v = v.reshape(n, d.n_value_heads, d.value_dim)
        q, k, v = (np.ascontiguousarray(x.swapaxes(0, 1)) for x in (q, k, v))
        out = delta_rule(q, k, v, log_decay.T, sigmoid(b).T).swapaxes(0, 1)
        return rms_norm(out, self._w[NORM], self._norm_eps).reshape(n, -1) * _silu(z)

    def _key_heads(self) -> np.ndarray:
        """The key head of each value head."""
        heads, d = np.arange(self._d.n_value_heads), self._d
        return heads % d.n_key_heads if d.is_tiled else heads // d.n_parts


def delta_rule(q: F32, k: F32, v: F32, log_decay: F32, beta: F32) -> F32:
    """What each head reads: q, k (H, T, key_dim), v (H, T, value_dim), the others (H, T)."""
    state = np.zeros((len(q), k.shape[2], v.shape[2]), np.float32)
    out = np.empty_like(v)
    for at in range(0, q.shape[1], _TOKENS):
        here = (slice(None), slice(at, at + _TOKENS))
        total = np.cumsum(log_decay[here], axis=1)
        since = np.tril(np.exp(np.tril(total[..., None] - total[:, None])))  # of j's tokens, at i
        far, keys = np.exp(total)[..., None], k[here]
        system = np.tril(beta[here][..., None] * (keys @ keys.swapaxes(1, 2)) * since, -1)
        system += np.eye(system.shape[1], dtype=np.float32)
        wanted = beta[here][..., None] * (v[here] - far * (keys @ state))
        added = np.linalg.solve(system, wanted)
        read = (q[here] @ keys.swapaxes(1, 2)) * since
        out[here] = far * (q[here] @ state) + read @ added
        state = far[:, -1:] * state + (keys * since[:, -1, :, None]).swapaxes(1, 2) @ added
    return out


def _rates(d: DeltaNet, gates: list[F32]) -> tuple[F32, F32]:
    """b and a of each value head, (T, n_value_heads)."""
    if d.is_tiled:
        return gates[0], gates[1]
    b, a = np.split(gates[0].reshape(len(gates[0]), d.n_key_heads, -1), 2, axis=2)
    return b.reshape(len(b), -1), a.reshape(len(a), -1)


def _unit(x: F32) -> F32:
    scaled: F32 = x / np.sqrt((x * x).sum(-1, keepdims=True) + _EPS)
    return scaled


def _silu(x: F32) -> F32:
    return x * sigmoid(x)
