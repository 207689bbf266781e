"""The records of stages with experts, whose kernels only models with experts have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from halfbyte.engine.buffers import Buffers
from halfbyte.engine.stage_words import (
    Words,
    experts_words,
    float_word,
    n_strips,
    stage_words,
)
from halfbyte.engine.weights import Experts, ModelWeights
from halfbyte.families.config import GATINGS, ExpertsConfig, ModelConfig
from halfbyte.families.expert_stages import AddGated, ExpertsHidden, ExpertsOutput, Route
from halfbyte.families.stages import SCALE, Stage
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.stages import experts, record, routing

_GATINGS = dict(zip(GATINGS, routing.GATINGS, strict=True))
_ACTIVATIONS = {"silu": experts.SWIGLU, "gelu_tanh": experts.GEGLU}
_ALL = 1 << 40


def expert_kernels(c: ModelConfig) -> list[Kernel]:
    """What experts take beside their matrices' products."""
    if c.experts is None:
        return []
    return [routing.route, routing.sort_rows, routing.gather, experts.hidden, experts.output,
            experts.add_gated]  # fmt: skip


class ExpertRecords:
    """Writes them; `tables` keeps what they point at."""

    def __init__(self, c: ModelConfig, w: ModelWeights, b: Buffers, tables: list[Words]) -> None:
        self._config, self._weights, self._buffers, self._tables = c, w, b, tables

    def records(self, stage: Stage, normed: Mapping[str, int]) -> list[Words]:
        """The records of a stage; `normed` is the norm before it, as inputs of matrices have it."""
        e = self._config.experts
        if e is None:
            raise TypeError(f"{stage}, in a model without experts")
        match stage:
            case Route():
                return self._route(stage, e, normed)
            case ExpertsHidden():
                return [self._hidden(stage, e, normed)]
            case ExpertsOutput():
                return [self._output(stage, e)]
            case AddGated():
                return [self._add_gated(e)]
        raise TypeError(f"no records for {stage}")

    def _route(self, stage: Route, e: ExpertsConfig, normed: Mapping[str, int]) -> list[Words]:
        routed = self._buffers["routed"]
        words = {
            "plan": self._buffers.plan, "n_experts": e.n_experts, "n_used": e.n_used,
            "routed": routed.address, "routed_stride": routed.stride,
            "gating": _GATINGS[e.gating], "normalizes": int(e.normalizes),
            "scale": float_word(e.scale * stage.scale), "n_groups": e.n_groups,
            "n_groups_used": e.n_groups_used, "n_group_best": e.n_group_best,
            "logit_bias": self._vector(stage, stage.bias),
            "bias": self._vector(stage, stage.selection_bias),
            "factors": self._weights.vectors.get(stage.tensor(stage.factors, SCALE), 0),
        }  # fmt: skip
        n_blocks = normed["n_blocks"]
        gathered = {"gathered": self._buffers["gathered"].address,
                    "gathered_floats": self._buffers["gathered_floats"].address}  # fmt: skip
        # The rows of a step of one token lie where they are.
        some = {**words, **gathered, "prepare": record.AS_IT_IS, "least_rows": 2}
        of_norm = {n: normed[n] for n in ("n_blocks", "floats", "floats_stride", "records")}
        return [
            _call(record.ROUTING, routing.route, per_row=1, most=_ALL, **words),
            _call(record.ROUTING, routing.sort_rows, per_row=1, most=1, **some),
            _call(record.ROUTING, routing.gather, per_row=n_blocks, most=n_blocks,
                  **some, **of_norm),
        ]  # fmt: skip

    def _hidden(self, stage: ExpertsHidden, e: ExpertsConfig, normed: Mapping[str, int]) -> Words:
        first = [self._weights.experts[stage.tensor(name)] for name in stage.in_memory]
        down = self._weights.experts[stage.tensor(stage.down)]
        strips, hidden = n_strips(first[0].first), self._buffers["expert_hidden"]
        return _call(
            record.EXPERTS, experts.hidden, **normed, per_row=strips * e.n_used,
            most=strips * e.n_experts, **self._table(*first), n_strips=strips,
            gathered=self._buffers["gathered"].address,
            gathered_floats=self._buffers["gathered_floats"].address,
            hidden=hidden.address,
            hidden_stride=0 if down.first.record_nbytes else 4 * padded(e.hidden_dim),
            activation=_activation(stage),
            limit=float_word(stage.clamps),
            gate_bias=self._vector(stage, stage.gate if stage.biases else ""),
            up_bias=self._vector(stage, stage.up if stage.biases else ""),
        )  # fmt: skip

    def _output(self, stage: ExpertsOutput, e: ExpertsConfig) -> Words:
        down, to = self._weights.experts[stage.tensor(stage.down)], self._buffers[stage.to]
        strips = n_strips(down.first)
        return _call(
            record.EXPERTS, experts.output, per_row=strips, most=strips, **self._table(down),
            n_strips=strips, hidden=self._buffers["expert_hidden"].address,
            n_blocks=padded(e.hidden_dim) // 32,
            floats_stride=4 * padded(e.hidden_dim), y=to.address, y_stride=to.stride,
            up_bias=self._vector(stage, stage.down if stage.biases else ""),
            fresh=int(stage.to != "x"),
        )  # fmt: skip

    def _add_gated(self, e: ExpertsConfig) -> Words:
        gate, source, x = (self._buffers[name] for name in ("routed", "shared", "x"))
        return _call(
            record.GATED, experts.add_gated, per_row=1, most=_ALL,
            # Behind the strips of the router.
            gate=gate.address + 4 * (-(-e.n_experts // 32) * 32), gate_stride=gate.stride,
            source=source.address, source_stride=source.stride, n=padded(self._config.dim),
            y=x.address, y_stride=x.stride,
        )  # fmt: skip

    def _vector(self, stage: Stage, name: str) -> int:
        return self._weights.vectors[stage.tensor(name, "bias")] if name else 0

    def _table(self, *matrices: Experts) -> dict[str, int]:
        self._tables.append(np.concatenate([experts_words(one) for one in matrices]))
        return {"matrices": int(self._tables[-1].ctypes.data), "n_experts": matrices[0].n,
                "plan": self._buffers.plan}  # fmt: skip


def _activation(stage: ExpertsHidden) -> int:
    if not stage.gate:
        return experts.SQUARED
    return experts.SWIGLU_OAI if stage.clamps else _ACTIVATIONS[stage.activation]


def _call(table: object, kernel: Kernel, **values: int) -> Words:
    return stage_words(table, record.CALL, kernel=kernel.address, **values)


def expert_share(weights: ModelWeights) -> float:
    """How much of what a step of one row reads are experts, of which other rows may need others."""
    used = (e.n_used * e.first.nbytes for name, e in weights.experts.items() if "_exps" in name)
    return sum(used) / weights.nbytes_per_token
