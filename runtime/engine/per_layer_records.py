"""The records of embeddings that each layer has of its own, whose kernels only such models have."""

from __future__ import annotations

from halfbyte.engine.buffers import Buffers
from halfbyte.engine.stage_words import Words, float_word, stage_words
from halfbyte.engine.weights import ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.families.per_layer import GateRows, JoinRows
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.stages import per_layer, record

_ALL = 1 << 40


def per_layer_kernels(c: ModelConfig) -> list[Kernel]:
    """What they take beside their matrices' products."""
    return [per_layer.join_rows, per_layer.gate_rows] if c.per_layer_dim else []


def join_rows(stage: JoinRows, c: ModelConfig, w: ModelWeights, b: Buffers) -> Words:
    """per_layer = (norm(per_layer) + scaled rows) / sqrt(2)."""
    rows, y = b["rows"], b["per_layer"]
    return stage_words(
        record.JOINED, record.CALL, kernel=per_layer.join_rows.address, per_row=1, most=_ALL,
        x=rows.address, x_stride=rows.stride, y=y.address, y_stride=y.stride, n=c.n_layers,
        dim=c.per_layer_dim, weight=w.vectors[stage.tensor(stage.weight)],
        eps=float_word(c.norm_eps), scale=float_word(c.per_layer_dim**0.5),
    )  # fmt: skip


def gate_rows(stage: GateRows, c: ModelConfig, b: Buffers) -> Words:
    """gated = gelu(gated) * the layer's features of per_layer."""
    x, y = b["per_layer"], b["gated"]
    return stage_words(
        record.JOINED, record.CALL, kernel=per_layer.gate_rows.address, per_row=1, most=_ALL,
        x=x.address + 4 * stage.layer * c.per_layer_dim, x_stride=x.stride, y=y.address,
        y_stride=y.stride, dim=c.per_layer_dim,
    )  # fmt: skip
