"""The stages of attention in float32 NumPy, for float_model.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import FUSED_QKV, HEAD_NORMS, QKV, SINKS, Attend, Rope
from halfbyte.quality.attention import attention
from halfbyte.quality.carried import Carried
from halfbyte.quality.norms import rms_norm

F32 = NDArray[np.float32]


class Rotating(Protocol):
    """What it takes of the model."""

    carried: Carried

    def rotate(self, x: F32, layer: int) -> F32:
        """Rotary embedding of a window's heads, (heads, T, D), in a layer."""


class FloatAttention:
    """What it does of a layer with the weights `w` (by short name), among its `buffers`.

    These are of `n_windows` texts, one behind the other.
    """

    def __init__(
        self, config: ModelConfig, w: Mapping[str, F32], buffers: dict[str, Any], model: Rotating,
        n_windows: int,
    ) -> None:  # fmt: skip
        self._config, self._w, self._buffers = config, w, buffers
        self._model, self._n_windows = model, n_windows

    def rope(self, stage: Rope, rows: F32) -> None:
        """Heads of q, k and v, (heads, T, D) for each window; q and k are rotated.

        `rows` are what is carried between layers: they get, or have, keys and values that are
        shared.
        """
        c, i = self._config, stage.layer
        windows = [self._windows(x, i) for x in self._qkv(stage)]
        for heads, name in zip(windows, HEAD_NORMS, strict=False):  # of q and k
            if stage.norms:
                heads[:] = [rms_norm(x, self._w[name], c.norm_eps) for x in heads]
            heads[:] = [self._model.rotate(x, i) for x in heads]
        if stage.value_norms:
            ones = np.ones(c.head_dim_of(i), np.float32)
            windows[2][:] = [rms_norm(x, ones, c.norm_eps) for x in windows[2]]
        if c.scales_queries:
            factors = c.query_factors(0, windows[0][0].shape[1], i)[:, None].astype(np.float32)
            windows[0][:] = [x * factors for x in windows[0]]
        if stage.keys:
            self._model.carried.keep(rows, i, *map(_rows, windows[1:]))
        else:
            windows += [self._windows(x, i) for x in self._model.carried.kept(rows, i)]
        self._buffers["qkv"] = windows

    def attend(self, stage: Attend) -> F32:
        """Causal attention within each window: (b T, H D)."""
        windows = zip(*self._buffers["qkv"], strict=True)
        c, sinks = self._config, self._w[SINKS] if stage.sinks else None
        window = c.window(stage.layer)
        return np.concatenate([attention(c, q, k, v, window, sinks) for q, k, v in windows])

    def _qkv(self, stage: Rope) -> list[F32]:
        """Queries, keys and values, (b T, features); queries alone where keys are another's."""
        c, qkv = self._config, self._buffers["qkv"]
        if not stage.keys:
            return [qkv]
        if not isinstance(qkv, list):  # of a fused matrix
            qkv = qkv + self._w[f"{FUSED_QKV}.bias"] if stage.biases else qkv
            qkv = np.split(qkv, [c.q_dim, c.q_dim + c.kv_dim], axis=1)
        if stage.values_are_keys:
            qkv = [*qkv, qkv[1]]
        for x, name in zip(qkv, QKV, strict=True):
            if stage.biases and not stage.is_fused:
                x += self._w[f"{name}.bias"]
        return list(qkv)

    def _windows(self, x: F32, layer: int) -> list[F32]:
        """Heads of each window: (heads, T, D)."""
        d = self._config.head_dim_of(layer)
        windows = np.split(x, self._n_windows)
        return [one.reshape(len(one), -1, d).swapaxes(0, 1) for one in windows]


def _rows(windows: list[F32]) -> F32:
    """The heads of all windows as rows: (b T, heads D)."""
    return np.concatenate([x.swapaxes(0, 1).reshape(x.shape[1], -1) for x in windows])
