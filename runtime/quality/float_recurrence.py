"""Recurrent layers' own stages in float32 NumPy, for float_model.py: windows begin with nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from halfbyte.families.config import ModelConfig
from halfbyte.families.short_conv import CONV, Convolve
from halfbyte.families.states import RecurrentStage
from halfbyte.quality.layer_source import F32


class FloatRecurrence:
    """What they do of a layer with the weights `w` (by short name), among its `buffers`."""

    def __init__(self, config: ModelConfig, w: Mapping[str, F32], buffers: dict[str, Any]) -> None:
        self._config, self._w, self._buffers = config, w, buffers

    def run(self, stage: RecurrentStage, n_windows: int) -> F32:
        """One stage: `mixed`, (b T, output_dim)."""
        match stage:
            case Convolve():
                return self._convolve(stage, n_windows)
        raise TypeError(f"no float arithmetic for {stage}")

    def _convolve(self, stage: Convolve, n_windows: int) -> F32:
        b, c, x = np.split(self._buffers["bcx"], 3, axis=1)
        windows = [convolved(u, self._w[CONV]) for u in np.split(b * x, n_windows)]
        made = np.concatenate(windows)
        out: F32 = c * (made + self._w[f"{CONV}.bias"] if stage.bias else made)
        return out


def convolved(x: F32, taps: F32) -> F32:
    """A window (T, features) with each feature's taps, (features, n_taps): zeros lie before it."""
    n, n_taps = len(x), taps.shape[1]
    x = np.concatenate([np.zeros((n_taps - 1, x.shape[1]), np.float32), x])
    out: F32 = sum((x[j : j + n] * taps[:, j] for j in range(n_taps)), np.float32(0))
    return out
