"""Convolutions of recurrent layers in float32 NumPy."""

from __future__ import annotations

import numpy as np

from halfbyte.quality.layer_source import F32


def convolved(x: F32, taps: F32) -> F32:
    """A window (T, features) with each feature's taps, (features, n_taps): zeros lie before it."""
    n, n_taps = len(x), taps.shape[1]
    x = np.concatenate([np.zeros((n_taps - 1, x.shape[1]), np.float32), x])
    out: F32 = sum((x[j : j + n] * taps[:, j] for j in range(n_taps)), np.float32(0))
    return out
