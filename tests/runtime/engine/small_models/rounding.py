"""Numbers as they are where halfbyte says that it rounds more than floats do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
    d = x.shape[-1]
    h = np.ones((1, 1))
    while d % (2 * len(h)) == 0:
        h = np.kron(h, [[1, 1], [1, -1]])
    blocks = x.reshape(*x.shape[:-1], -1, len(h)) @ h / np.sqrt(len(h))
    turned = blocks.reshape(x.shape)
    steps = 127 if bits == 8 else 2**bits - 1
    scale = np.abs(turned).max(-1, keepdims=True) / steps
    if what != "q":
        scale = scale.astype(np.float16).astype(np.float64)
    if bits == 8:
        turned = np.clip(np.rint(turned / scale), -127, 127) * scale
    else:
        codes = np.clip(np.rint(turned / scale / 2 + steps / 2), 0, steps)
        turned = (2 * codes - steps) * scale
    return (turned.reshape(blocks.shape) @ h / np.sqrt(len(h))).reshape(x.shape)
