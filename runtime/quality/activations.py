"""What hidden features go through, in float32 NumPy: twins of kernels/vectors/vector_math.py."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.config import ModelConfig
from halfbyte.quality.routing import sigmoid

F32 = NDArray[np.float32]

_ROOT = np.float32((2 / np.pi) ** 0.5)


def activate(kind: str, x: F32, c: ModelConfig, layer: int) -> F32:
    """An activation (stages.ACTIVATIONS) of a layer's hidden features."""
    with np.errstate(over="ignore"):  # e ** -x becomes infinite and the result 0, as it should
        match kind:
            case "silu":
                return x / (1 + np.exp(-x))
            case "gelu":
                return x * _normal_integral(x)
            case "gelu_tanh":
                return x / (1 + np.exp(-2 * _ROOT * (x + np.float32(0.044715) * x**3)))
            case "relu_squared":
                return np.square(np.maximum(x, 0))
            case "xielu":
                alpha_p, alpha_n, beta, eps = map(np.float32, c.xielu[layer].curve)
                below = np.expm1(np.minimum(x, eps)) - x
                return beta * x + np.where(x > 0, alpha_p * x * x, alpha_n * below)
    raise ValueError(f"no activation {kind}")


def gate(kind: str, x: F32) -> F32:
    """What attention's output is multiplied by, of a gate (stages.GateAttended)."""
    return np.logaddexp(np.float32(0), x) if kind == "softplus" else sigmoid(x)


def split_gates(q: F32, head_dim: int) -> tuple[F32, F32]:
    """Queries and gates of rows that have a head's gates behind its query."""
    heads = q.reshape(len(q), -1, 2, head_dim)
    return heads[:, :, 0].reshape(len(q), -1), heads[:, :, 1].reshape(len(q), -1)


def soft_cap(x: F32, cap: float) -> F32:
    """cap tanh(x / cap)."""
    limit = np.float32(cap)
    return np.tanh(x / limit) * limit


def _normal_integral(x: F32) -> F32:
    return np.interp(x, *_integral_table()).astype(np.float32)


@cache
def _integral_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The normal distribution's integral; straight lines between are 3e-8 off at most."""
    places = np.arange(-6 * 1024, 6 * 1024 + 1) / 1024
    return places, np.array([math.erfc(-x * 0.5**0.5) / 2 for x in places])
