"""Norms in float32 NumPy: the twins of kernels/layouts/activations.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.stages import Norm

F32 = NDArray[np.float32]


def rms_norm(x: F32, weight: F32, eps: float) -> F32:
    """x / sqrt(mean(x^2) + eps) * weight."""
    mean = np.square(x).mean(-1, keepdims=True)
    out: F32 = x / np.sqrt(mean + np.float32(eps)) * weight
    return out


def normed(stage: Norm, x: F32, w: Mapping[str, F32], eps: float) -> F32:
    """What a stage makes of x."""
    if stage.centers:
        x = x - x.mean(-1, keepdims=True)
    name = stage.weight if stage.kind == "weight" else f"{stage.weight}.{stage.kind}"
    y = rms_norm(x, w[name], stage.eps or eps)
    return y + w[f"{stage.weight}.bias"] if stage.bias else y
