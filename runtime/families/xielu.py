"""xIELU's numbers: each layer has four of its own (arXiv:2411.13010).

A checkpoint has them as tensors; GGUF has a list of each, or one number for all layers, under keys
that no architecture stands before.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from halfbyte.errors import ModelFileError
from halfbyte.gguf.metadata import Metadata


class Xielu(NamedTuple):
    """They, as they are stored: a trained alpha goes through a softplus, so that it is above 0."""

    alpha_p: float
    alpha_n: float
    beta: float
    eps: float

    @property
    def curve(self) -> tuple[float, float, float, float]:
        """What a layer computes with: beta x + alpha_p x**2 above 0, and below 0
        beta x + alpha_n (e ** min(x, eps) - 1 - x).
        """
        alpha_p, alpha_n = _softplus(self.alpha_p), self.beta + _softplus(self.alpha_n)
        return alpha_p, alpha_n, self.beta, self.eps


# Field of Xielu -> GGUF's key.
XIELU_KEYS = {field: f"xielu.{field}" for field in Xielu._fields}


def read_xielu(m: Metadata, n_layers: int) -> tuple[Xielu, ...]:
    """Each layer's.

    Raises:
        ModelFileError: one is missing, of another type, not finite, or not there for each layer.
    """
    columns = [_of_each_layer(m, key, n_layers) for key in XIELU_KEYS.values()]
    return tuple(Xielu(*row) for row in zip(*columns, strict=True))


def _of_each_layer(m: Metadata, key: str, n_layers: int) -> list[float]:
    if key not in m or not isinstance(m.raw(key).value, np.ndarray):
        value = m.raw(key).value if key in m else None
        if not isinstance(value, float) or not math.isfinite(value):
            got = "no such key" if value is None else value
            raise ModelFileError(m.path, key, expected="a number for each layer", got=got)
        return [value] * n_layers
    values: list[float] = m.get_numbers(key, floats=True).tolist()
    if len(values) != n_layers or not all(map(math.isfinite, values)):
        expected = f"a finite number for each of {n_layers} layers"
        raise ModelFileError(m.path, key, expected=expected, got=values[: n_layers + 1])
    return values


def _softplus(x: float) -> float:
    """ln(1 + e ** x)."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
