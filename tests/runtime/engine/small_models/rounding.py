"""Numbers as they are where halfbyte says that it rounds more than floats do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.layouts.kv_pages import PAGE

F64 = NDArray[np.float64]


def as_int8(x: F64) -> F64:
    """Rows of inputs in blocks of 8 bits (activations.py)."""
    blocks = x.reshape(len(x), -1, 32)
    step = np.abs(blocks).max(-1, keepdims=True) / 127
    return (np.rint(blocks / step) * step).reshape(x.shape)


def as_bf16(x: F64) -> F64:
    """Numbers of 8 bits."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(mantissa * 256), exponent - 8)


def kept_as(x: F64, what: str, kv_type: str) -> F64:
    """Queries, keys or values of heads (..., d) as attention with that type of cache has them."""
    if kv_type == "f16" and what != "q":
        return x.astype(np.float16).astype(np.float64)
    if kv_type in ("f16", "f32"):
        return x
    bits = {"k": 6, "v": 4}.get(what, 8) if kv_type == "int4" else 8
    turned = _turned(x)
    steps = 127 if bits == 8 else 2**bits - 1
    scale = np.abs(turned).max(-1, keepdims=True) / steps
    if what != "q":
        scale = scale.astype(np.float16).astype(np.float64)
    if bits == 8:
        turned = np.clip(np.rint(turned / scale), -127, 127) * scale
    else:
        codes = np.clip(np.rint(turned / scale / 2 + steps / 2), 0, steps)
        turned = (2 * codes - steps) * scale
    return _turned(turned)


def as_whole(weights: F64, v: F64) -> F64:
    """Weights (H, T, S) of 4-bit values (S, H, d): whole numbers, once the values' scales are in
    them, of which a lane of 16 hands on what rounding takes, within a page (docs/numerics.md).
    """
    scale = np.abs(_turned(v)).max(-1).T[:, None]  # times 15, as all are
    scaled, whole = weights * scale, np.empty_like(weights)
    for begin in range(0, weights.shape[-1], PAGE):
        page = scaled[..., begin : begin + PAGE]
        step = np.maximum(page.max(-1, keepdims=True), 1e-300) / 253
        lost = np.zeros((*page.shape[:-1], 16))
        for at in range(0, page.shape[-1], 16):
            n = page[..., at : at + 16].shape[-1]
            wanted = page[..., at : at + 16] / step + lost[..., :n]
            lost[..., :n] = wanted - np.rint(wanted)
            whole[..., begin + at : begin + at + n] = np.rint(wanted) * step
    return whole / scale


def _turned(x: F64) -> F64:
    """Rows of a head turned by Hadamard matrices, as large as fit, which turn them back too."""
    h = np.ones((1, 1))
    while x.shape[-1] % (2 * len(h)) == 0:
        h = np.kron(h, [[1, 1], [1, -1]])
    return (x.reshape(*x.shape[:-1], -1, len(h)) @ h / np.sqrt(len(h))).reshape(x.shape)
