"""RoPE: the frequencies of a file, and vectors turned by them."""

from __future__ import annotations

import numpy as np

from .model_file import F64, ModelFile


def frequencies_of(m: ModelFile, layer: int) -> F64 | None:
    """The frequencies of a layer, if it rotates."""
    if not m.rotates or (m.architecture == "smollm3" and layer % 4 == 3):
        return None
    if m.architecture in ("exaone4", "cohere2") and m.window and m.sees_all[layer]:
        return None
    is_local = m.local_frequencies is not None and not m.sees_all[layer]
    return m.local_frequencies if is_local else m.frequencies


def rotated(m: ModelFile, x: F64, frequencies: F64, factor: float) -> F64:
    """Rotate the pairs i of x, (n, heads, head_dim), by position * frequency i."""
    n, d = len(x), 2 * len(frequencies)
    angle = np.outer(np.arange(n), frequencies)[:, None, :]
    if m.pairs_are_halves:
        first, second = slice(0, d // 2), slice(d // 2, d)
    else:
        first, second = slice(0, d, 2), slice(1, d, 2)
    a, b = x[..., first], x[..., second]
    cos, sin = np.cos(angle) * factor, np.sin(angle) * factor
    out = x.copy()
    out[..., first], out[..., second] = a * cos - b * sin, a * sin + b * cos
    return out
