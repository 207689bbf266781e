"""Records of the stages that work row by row beside a matrix's input: embedding, norms in place."""

from __future__ import annotations

from halfbyte.engine.buffers import Buffers
from halfbyte.engine.stage_words import Words, float_word, stage_words
from halfbyte.engine.weights import ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import Embed, GateAttended, Join, PostNorm, RowNorms
from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.panels import n_panels
from halfbyte.kernels.stages import record
from halfbyte.kernels.stages.gates import gate_attended

_ALL = 1 << 40
GATE_ACTIVATIONS = ("softplus", "sigmoid")  # as kernels/stages/gates.py numbers them


def embedding(stage: Embed, c: ModelConfig, w: ModelWeights, b: Buffers) -> Words:
    """to = scale weight[tokens] + positions[positions]."""
    words = {"dim": c.dim, "y": b[stage.to].address, "y_stride": b[stage.to].stride}
    if stage.scale != 1:
        words["scale"] = float_word(stage.scale)
    for (name, kind), prefix in zip(stage.tensors, ("", "positions_"), strict=False):
        matrix = w.matrices[stage.tensor(name, kind)]
        words |= {f"{prefix}lookup": lookup_kernel(matrix.format.kernel_name).address,
                  f"{prefix}w": matrix.address, f"{prefix}n_panels": n_panels(matrix.n_rows),
                  f"{prefix}n_units": matrix.format.n_units(matrix.n_inputs)}  # fmt: skip
    return stage_words(record.EMBEDDING, record.EMBED, **words)


def post_norm(stage: PostNorm, c: ModelConfig, w: ModelWeights, b: Buffers) -> Words:
    """to += norm(source), or to = it; then what it is scaled by."""
    source, to = b[stage.source], b[stage.to]
    return stage_words(
        record.RENORMED, record.RENORM, x=source.address, x_stride=source.stride, dim=c.dim,
        weight=w.vectors[stage.tensor(stage.weight)], eps=float_word(c.norm_eps), y=to.address,
        y_stride=to.stride, adds=int(stage.adds),
        scale=w.vectors[stage.tensor(stage.scale)] if stage.scale else 0,
    )  # fmt: skip


def join(stage: Join, c: ModelConfig, w: ModelWeights, b: Buffers) -> list[Words]:
    """joined = [norm(embedded), norm(state)]."""
    joined, made = b["joined"], []
    for name, source, at in ((stage.first, "embedded", 0), (stage.second, "state", 4 * c.dim)):
        made.append(stage_words(
            record.RENORMED, record.RENORM, x=b[source].address, x_stride=b[source].stride,
            dim=c.dim, weight=w.vectors[stage.tensor(name)], eps=float_word(c.norm_eps),
            y=joined.address + at, y_stride=joined.stride,
        ))  # fmt: skip
    return made


def gates(stage: GateAttended, c: ModelConfig, b: Buffers, at: int = 0) -> Words:
    """attended *= activation(gates), which begin `at` bytes behind their buffer's rows."""
    gates, attended = b[stage.source], b["attended"]
    return stage_words(
        record.GATES, record.CALL, kernel=gate_attended.address, per_row=1, most=_ALL,
        gates=gates.address + at, gates_stride=gates.stride, y=attended.address,
        y_stride=attended.stride, n_features=c.q_dim_of(stage.layer), gate_dim=c.gate_dim or 1,
        activation=GATE_ACTIVATIONS.index(stage.activation),
    )  # fmt: skip


def row_norms(
    stage: RowNorms, c: ModelConfig, w: ModelWeights, b: Buffers, k_at: int
) -> list[Words]:
    """q = norm(q) and k = norm(k), which lies `k_at` bytes behind."""
    qkv, made = b["qkv"], []
    for (name, kind), at, dim in zip(stage.tensors, (0, k_at), (c.q_dim, c.kv_dim), strict=True):
        rows = {"x": qkv.address + at, "y": qkv.address + at, "dim": dim,
                "x_stride": qkv.stride, "y_stride": qkv.stride}  # fmt: skip
        weight = w.vectors[stage.tensor(name, kind)]
        words = {**rows, "weight": weight, "eps": float_word(c.norm_eps)}
        made.append(stage_words(record.RENORMED, record.RENORM, **words))
    return made
