"""The stages of experts in float32 NumPy, for float_model.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from halfbyte.errors import EngineError
from halfbyte.families.config import ModelConfig
from halfbyte.families.expert_stages import (
    AddGated,
    ExpertsHidden,
    ExpertsOutput,
    ExpertsStage,
    Route,
)
from halfbyte.families.stages import SCALE, Stage
from halfbyte.quality.activations import activate
from halfbyte.quality.routing import F32, Ids, by_expert, route, sigmoid

_ALPHA = np.float32(1.702)


class FloatExperts:
    """What experts do of a layer with the weights `w` (by short name), among its `buffers`."""

    def __init__(self, config: ModelConfig, w: Mapping[str, F32], buffers: dict[str, Any]) -> None:
        self._config, self._w, self._buffers = config, w, buffers
        self._chosen: list[tuple[int, Ids, F32]] = []
        self._hidden: dict[int, F32] = {}

    def run(self, stage: Stage) -> F32 | None:
        """One stage; what it gives to x, or to a buffer of its own, if it does."""
        match stage:
            case Route():
                self._route(stage)
            case ExpertsHidden():
                inputs = dict(self.inputs(stage))
                self._hidden = {e: self._hidden_of(stage, e, x) for e, x in inputs.items()}
            case ExpertsOutput():
                return self._output(stage)
            case AddGated():
                out: F32 = (
                    self._buffers["x"]
                    + sigmoid(self._buffers["routed"][-1]) * (self._buffers["shared"])
                )
                return out
            case _:
                raise TypeError(f"no float arithmetic for {stage}")
        return None

    def inputs(self, stage: ExpertsStage) -> Iterator[tuple[int, F32]]:
        """What the matrices of each expert that has rows are about to get."""
        if isinstance(stage, ExpertsHidden):
            yield from ((e, self._buffers["normed"][rows]) for e, rows, _ in self._chosen)
        else:
            yield from self._hidden.items()

    def _route(self, stage: Route) -> None:
        logits = self._buffers["routed"]
        logits = logits[0] if isinstance(logits, list) else logits
        if stage.bias:
            logits = logits + self._w[f"{stage.bias}.bias"]
        if not np.isfinite(logits).all():
            raise EngineError(
                f"the model's numbers are not finite: layer {stage.layer}, its router's",
                hint="its weights are damaged or no model's",
            )
        bias = self._w[f"{stage.selection_bias}.bias"] if stage.selection_bias else None
        assert self._config.experts is not None
        ids, weights = route(self._config.experts, logits, bias)
        weights = weights * np.float32(stage.scale)
        factors = self._w.get(f"{stage.factors}.{SCALE}")
        self._chosen = by_expert(ids, weights if factors is None else weights * factors[ids])

    def _hidden_of(self, stage: ExpertsHidden, e: int, x: F32) -> F32:
        """What an expert makes of its rows."""
        made = [x @ self._w[name][e].T for name in stage.experts]
        if not stage.gate:
            return activate(stage.activation, made[0], self._config, stage.layer)
        gate, up = np.split(made[0], 2, axis=1) if stage.fused else made
        if stage.biases:
            gate += self._w[f"{stage.gate}.bias"][e]
            up += self._w[f"{stage.up}.bias"][e]
        if not stage.clamps:
            if stage.activation == "silu":
                hidden: F32 = gate * sigmoid(gate)
            else:
                hidden = activate(stage.activation, gate, self._config, stage.layer)
            return hidden * up
        gate, up = np.minimum(gate, stage.clamps), np.clip(up, -stage.clamps, stage.clamps)
        clamped: F32 = gate * sigmoid(_ALPHA * gate) * (up + 1)
        return clamped

    def _output(self, stage: ExpertsOutput) -> F32:
        x: F32 = self._buffers["x"].copy() if stage.to == "x" else np.zeros_like(self._buffers["x"])
        for e, rows, weights in self._chosen:
            out = self._hidden[e] @ self._w[stage.down][e].T
            if stage.biases:
                out += self._w[f"{stage.down}.bias"][e]
            x[rows] += weights[:, None] * out
        return x
