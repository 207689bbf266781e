"""Recurrent layers' own stages in float32 NumPy, for float_model.py: windows begin with nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_net import DeltaRule
from halfbyte.families.mamba2 import GroupNorms, Scan, mamba2_of
from halfbyte.families.short_conv import CONV, Convolve
from halfbyte.families.states import RecurrentStage
from halfbyte.quality.convolution import convolved
from halfbyte.quality.float_delta_nets import FloatDeltaNets
from halfbyte.quality.float_mamba2 import group_norms, scan
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
            case Scan():
                m, windows = mamba2_of(self._config), np.split(self._buffers["zxbcdt"], n_windows)
                return np.concatenate([scan(m, self._w, rows) for rows in windows])
            case DeltaRule():
                nets = FloatDeltaNets(self._config, self._w)
                return nets.run(self._buffers["qkvz"], n_windows)
        raise TypeError(f"no float arithmetic for {stage}")

    def group_norms(self, stage: GroupNorms) -> F32:
        """`mixed`, each group through its norm."""
        m, weight = mamba2_of(self._config), self._w[stage.weight]
        return group_norms(m, self._buffers["mixed"], weight, self._config.norm_eps)

    def _convolve(self, stage: Convolve, n_windows: int) -> F32:
        b, c, x = np.split(self._buffers["bcx"], 3, axis=1)
        windows = [convolved(u, self._w[CONV]) for u in np.split(b * x, n_windows)]
        made = np.concatenate(windows)
        out: F32 = c * (made + self._w[f"{CONV}.bias"] if stage.bias else made)
        return out
