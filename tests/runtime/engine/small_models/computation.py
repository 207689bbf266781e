"""What every part of the forward pass needs: float64 weights, norms, products, rounding."""

from __future__ import annotations

import numpy as np

from halfbyte.families.config import ModelConfig

from .model import Model
from .rounding import F64, as_bf16, as_int8, as_whole, kept_as


class Computation:
    """A forward pass of a model over n tokens, which rounds as halfbyte does or not at all.

    `seen` is what attention of each layer so far has been given: later layers may read its keys.
    """

    def __init__(self, model: Model, n: int, rounds: bool) -> None:
        self.model, self.n, self.rounds = model, n, rounds
        self.seen: dict[int, F64] = {}
        self.w = {name: value.astype(np.float64) for name, value in model.exact.items()}

    @property
    def config(self) -> ModelConfig:
        """The model's."""
        return self.model.config

    def norm(self, x: F64, name: str, eps: float = 0) -> F64:
        """The norm of that name, if there is one."""
        if name + ".weight" not in self.w:
            return x
        bias, eps = self.w.get(name + ".bias"), eps or self.config.norm_eps
        if bias is not None or self.config.architecture == "cohere2":  # LayerNorm
            x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * self.w[name + ".weight"]
        return x if bias is None else x + bias

    def product(self, x: F64, name: str) -> F64:
        """Rows times a matrix, with its bias if it has one."""
        x, w = self.met(x, name)
        return x @ w.T + self.w.get(name.replace("weight", "bias"), 0)

    def met(self, x: F64, name: str) -> tuple[F64, F64]:
        """Rows of inputs, and a matrix or those of all experts, as their products have them."""
        weights = self.model.weights
        experts, w = weights.experts.get(name), self.w[name]
        matrix = experts.first if experts else weights.matrices[name]
        if not self.rounds or not matrix.record_nbytes:
            return x, w
        return (as_int8(x), w) if matrix.arithmetic == "int8" else (as_bf16(x), as_bf16(w))

    def kept(self, x: F64, what: str) -> F64:
        """Queries, keys or values (`what`: q, k, v) as attention has them."""
        return kept_as(x, what, self.model.shape.kv_type) if self.rounds else x

    def weighed(self, weights: F64, v: F64) -> F64:
        """Heads' weighted sums of values, (T, H, d)."""
        if self.rounds and self.model.shape.kv_type == "int4":
            weights = as_whole(weights, v)
        return np.einsum("hts,shd->thd", weights, v)

    def activated(self, x: F64) -> F64:
        """The family's activation."""
        if self.config.architecture.startswith("nemotron"):
            return np.square(np.maximum(x, 0))
        if self.config.architecture in ("gemma", "gemma4", "starcoder2"):
            return x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))
        return x / (1 + np.exp(-x))
