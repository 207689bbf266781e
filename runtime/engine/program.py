"""A family's stages as the compiled step walks them: records of words, and the kernels they need.

A family lists stages in the order of its mathematics (families/stages.py). Here each becomes one
or more records (kernels/stages/record.py) with the addresses of buffers and weights in them. The
input of a matrix is prepared in a record of its own for many rows, and by each thread for itself
for a single one, so a product's record says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from halfbyte.engine import per_layer_records, row_records
from halfbyte.engine.attention_records import AttentionRecords
from halfbyte.engine.buffers import Buffers
from halfbyte.engine.expert_records import ExpertRecords
from halfbyte.engine.factor_places import factor_name, factor_places, factors_at
from halfbyte.engine.latent_records import LatentRecords
from halfbyte.engine.stage_kernels import kernel_words
from halfbyte.engine.stage_words import Words, float_word, matrix_words, n_strips, stage_words
from halfbyte.engine.weights import Matrix, ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.families.expert_stages import AddGated, ExpertsHidden, ExpertsOutput, Route
from halfbyte.families.latent_stages import Compress, ProjectHeads
from halfbyte.families.mamba2 import GroupNorms
from halfbyte.families.per_layer import GateRows, JoinRows
from halfbyte.families.registry import stages_of
from halfbyte.families.stages import (
    Attend,
    Embed,
    FeedForward,
    GateAttended,
    Join,
    Norm,
    PostNorm,
    Project,
    Rope,
    RowNorms,
    Stage,
)
from halfbyte.families.states import RecurrentStage
from halfbyte.import_lock import Later
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.kv_pages import KVLayout
from halfbyte.kernels.stages import adapt, record

if TYPE_CHECKING:
    from halfbyte.engine import recurrent_records
else:  # few models have such layers
    recurrent_records = Later("halfbyte.engine.recurrent_records")


class Program:
    """The records of a model's forward pass, or of some of its stages (`part`).

    Attributes:
        stages: (stage, its records) in order.
    """

    def __init__(self, stages: Iterable[tuple[Stage, Words]], tables: list[Words]) -> None:
        self.stages, self._tables = list(stages), tables
        self._kept: list[Program] = []
        self._records = np.concatenate([records for _, records in self.stages])
        tables.append(self._records)  # late workers may still look at those of a part

    @classmethod
    def of_model(
        cls, c: ModelConfig, w: ModelWeights, layout: KVLayout, b: Buffers, *, adapts: bool = False
    ) -> Program:
        """All stages of a model; with `adapts`, those that adapters take too."""
        writer = _Writer(c, w, layout, b, adapts=adapts)
        made = [(stage, np.array(writer.records(stage))) for stage in stages_of(c)]
        return cls(made, writer.tables)

    def part(self, stages: Iterable[tuple[Stage, Words]]) -> Program:
        """A program of some of the stages."""
        return Program(stages, self._tables)

    @cached_property
    def trunk(self) -> Program:
        """All but the logits' matrix."""
        return self.part(self.stages[:-1])

    @cached_property
    def head(self) -> Program:
        """The last norm and the logits' matrix."""
        return self.part(self.stages[-2:])

    @cached_property
    def layers(self) -> list[tuple[Program | None, Program]]:
        """Each layer in two: up to its rotated queries, if it has any, and the rest."""
        layers: list[tuple[Program | None, Program]] = []
        for i in range(max(stage.layer for stage, _ in self.stages) + 1):
            own = [item for item in self.stages if item[0].layer == i]
            at = next((n for n, (one, _) in enumerate(own) if isinstance(one, Attend)), 0)
            layers.append((self.part(own[:at]) if at else None, self.part(own[at:])))
        return layers

    @cached_property
    def recurrent(self) -> Program:
        """The recurrent stages alone, as a step of no rows has them."""
        return self.part(item for item in self.stages if isinstance(item[0], RecurrentStage))

    @cached_property
    def first(self) -> Program:
        """The embedding, and what else layers take of it."""
        n = next(i for i, (stage, _) in enumerate(self.stages) if stage.layer >= 0)
        return self.part(self.stages[:n])

    def keep(self, other: Program) -> None:
        """Have another one live as long as this one, and what parts it will have."""
        self._kept.append(other)

    @property
    def words(self) -> dict[str, int]:
        """What a step has to know of it."""
        return {"program": int(self._records.ctypes.data), "n_stages": len(self._records)}


class _Writer:
    """Turns stages into records, one after another."""

    def __init__(
        self, c: ModelConfig, w: ModelWeights, layout: KVLayout, b: Buffers, *, adapts: bool
    ) -> None:
        self._config, self._weights, self._layout, self._buffers = c, w, layout, b
        self._model = (c, w, b)
        self._places = factor_places(c) if adapts else None
        self.tables: list[Words] = []
        self._eps = float_word(c.norm_eps)
        self._normed: dict[str, int] = {}
        self._experts = ExpertRecords(c, w, b, self.tables)
        self._latents = LatentRecords(c, w, layout, b, self.tables)
        self._attention = AttentionRecords(c, w, layout, b, self.tables)

    @cached_property
    def _recurrent(self) -> recurrent_records.RecurrentRecords:
        return recurrent_records.RecurrentRecords(*self._model)

    def records(self, stage: Stage) -> list[Words]:
        """The records of a stage."""
        match stage:
            case Embed():
                return row_records.embedding(stage, *self._model)
            case Norm():
                return [self._norm(stage)]
            case Join():
                return row_records.join(stage, *self._model)
            case PostNorm():
                return [row_records.post_norm(stage, *self._model)]
            case RowNorms():
                k_at, _ = self._attention.qkv_at(stage)
                return row_records.row_norms(stage, *self._model, k_at)
            case Project():
                return self._project(stage)
            case FeedForward():
                return self._feed_forward(stage)
            case Rope():
                return [self._attention.rope(stage)]
            case Attend():
                return self._attention.attend(stage)
            case GateAttended():
                at = self._attention.gates_at(stage)
                return [row_records.gates(stage, self._config, self._buffers, at)]
            case Compress():
                self._attention.take(stage, self._latents.attention(stage))
                return [self._latents.compress(stage)]
            case ProjectHeads():
                return [self._latents.heads(stage)]
            case JoinRows():
                return [per_layer_records.join_rows(stage, *self._model)]
            case GateRows():
                return [per_layer_records.gate_rows(stage, self._config, self._buffers)]
            case RecurrentStage():
                return [self._recurrent.record(stage)]
            case GroupNorms():
                return [self._recurrent.group_norms(stage)]
            case Route() | ExpertsHidden() | ExpertsOutput() | AddGated():
                return self._experts.records(stage, self._normed)
        raise TypeError(f"no records for {stage}")

    def _norm(self, stage: Norm) -> Words:
        x, normed = self._buffers[stage.source], self._buffers["normed"]
        dim = self._width(stage)
        self._normed = {
            "of_logits": int(stage.of_logits), "prepare": record.NORMED, "x": x.address,
            "x_stride": x.stride, **self._vectors(stage), **kernel_words(stage, self._config),
            "dim": dim, "eps": float_word(stage.eps) if stage.eps else self._eps,
            "n_blocks": padded(dim) // 32, "floats": normed.address,
            "floats_stride": normed.stride, "records": self._buffers.records,
        }  # fmt: skip
        return stage_words(record.INPUT, record.NORM, **self._normed)

    def _vectors(self, stage: Stage) -> dict[str, int]:
        """The addresses of a norm's weight and bias."""
        words = {"bias": "norm_bias"}
        return {words.get(kind, "weight"): self._weights.vectors[stage.tensor(name, kind)]
                for name, kind in stage.tensors}  # fmt: skip

    def _prepared(self, stage: Project | FeedForward) -> list[Words]:
        """The record that makes records of a buffer that no norm wrote."""
        if stage.source in ("normed", "hidden"):
            return []
        return [stage_words(record.INPUT, record.QUANTIZE, **self._input(stage))]

    def _biases(self, stage: Project | FeedForward) -> dict[str, int]:
        """Where biases lie that are added to a stage's products."""
        if not stage.bias:
            return {}
        vectors = [self._weights.vectors[stage.tensor(name, "bias")] for name in stage.matrices]
        self.tables.append(np.array(vectors, np.int64))
        return {"biases": int(self.tables[-1].ctypes.data)}

    def _project(self, stage: Project) -> list[Words]:
        made, matrices = self._prepared(stage), self._matrices(stage)
        # The logits, which every step has anew, are written where the step says.
        to = {} if stage.to == "logits" else self._to(stage.to)
        words = {**self._input(stage), **to, **self._table(matrices),
                 "n_strips": sum(map(n_strips, matrices)), "adds": int(stage.adds),
                 # As feed_forward wrote them.
                 "from_records": int(stage.source == "hidden" and matrices[0].record_nbytes > 0),
                 "scale": float_word(stage.scale), "cap": float_word(stage.softcap),
                 **self._biases(stage), **kernel_words(stage, self._config)}  # fmt: skip
        return made + self._with_adapters(stage, record.PROJECT, words)

    def _feed_forward(self, stage: FeedForward) -> list[Words]:
        made, matrices = self._prepared(stage), self._matrices(stage)
        down = self._weights.matrices[stage.tensor(stage.down)]
        to = self._to("hidden")
        if down.record_nbytes:
            to["y_stride"] = 0  # as records, and never as floats
        words = {**self._input(stage), **to, **self._table(matrices),
                 "n_strips": n_strips(matrices[0]), **self._biases(stage),
                 **kernel_words(stage, self._config)}  # fmt: skip
        if stage.activation == "xielu":
            self.tables.append(np.array(self._config.xielu[stage.layer].curve, np.float32))
            words["curve"] = int(self.tables[-1].ctypes.data)
        return made + self._with_adapters(stage, record.FEED_FORWARD, words)

    def _with_adapters(self, stage: Stage, op: int, words: dict[str, int]) -> list[Words]:
        """A product's record and, in a program that adapts, that of the stage before it."""
        if self._places is None:
            return [stage_words(record.PRODUCT, op, **words)]
        words |= {"factors_at": factors_at(self._places[factor_name(stage, stage.packed[0])]),
                  "shrink": adapt.shrink.address, "expand": adapt.expand.address}  # fmt: skip
        return [stage_words(record.PRODUCT, kind, **words) for kind in (record.SHRINK, op)]

    def _input(self, stage: Project | FeedForward) -> dict[str, int]:
        """Where the input of matrices lies, and how a single row of it is prepared."""
        source = stage.source
        if source == "normed":
            return self._normed
        buffer = self._buffers[source]
        floats = {"floats": buffer.address, "floats_stride": buffer.stride}
        if source == "hidden":
            return {**floats, "records": buffer.address, "prepare": record.AS_IT_IS}
        return {
            **floats, "records": self._buffers.records, "prepare": record.QUANTIZED,
            "x": buffer.address, "x_stride": buffer.stride,
            "n_blocks": padded(self._width(stage)) // 32,
        }  # fmt: skip

    def _width(self, stage: Norm | Project | FeedForward) -> int:
        """Features of a row of a matrix's input, or a norm's."""
        c = self._config
        if stage.source == "q_a" and c.latent is not None:
            return c.latent.q_lora_rank
        if stage.source == "joined":
            return 2 * c.dim
        if stage.source == "mixed" and c.recurrent is not None:
            return c.recurrent.output_dim
        widths = {"attended": c.attended_dim_of(stage.layer), "gated": c.per_layer_dim}
        return widths.get(stage.source, c.dim)

    def _to(self, name: str) -> dict[str, int]:
        return {"y": self._buffers[name].address, "y_stride": self._buffers[name].stride}

    def _matrices(self, stage: Stage) -> list[Matrix]:
        return [self._weights.matrices[stage.tensor(name)] for name in stage.packed]

    def _table(self, matrices: Sequence[Matrix]) -> dict[str, int]:
        self.tables.append(np.array([matrix_words(matrix) for matrix in matrices], np.int64))
        return {"matrices": int(self.tables[-1].ctypes.data), "n_matrices": len(matrices)}
