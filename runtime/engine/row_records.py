"""Records of the stages that work row by row beside a matrix's input: embedding, norms in place."""

from __future__ import annotations

from halfbyte.engine.buffers import Buffers
from halfbyte.engine.stage_kernels import kernel_words
from halfbyte.engine.stage_words import Words, float_word, stage_words
from halfbyte.engine.weights import Matrix, ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import Embed, GateAttended, Join, PostNorm, RowNorms, Stage
from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.panels import n_panels
from halfbyte.kernels.stages import record
from halfbyte.kernels.stages.gates import gate_attended

_ALL = 1 << 40
GATE_ACTIVATIONS = ("softplus", "sigmoid")  # as kernels/stages/gates.py numbers them


def embedding(stage: Embed, c: ModelConfig, w: ModelWeights, b: Buffers) -> list[Words]:
    """to = scale weight[tokens], then to += positions[positions], where these are learned."""
    to = {"dim": c.dim, "y": b[stage.to].address, "y_stride": b[stage.to].stride}
    scale = {"scale": float_word(stage.scale)} if stage.scale != 1 else {}
    tables = [_table_words(w.matrices[stage.tensor(name, kind)]) for name, kind in stage.tensors]
    made = [stage_words(record.EMBEDDING, record.EMBED, **to, **scale, **tables[0])]
    for table in tables[1:]:
        made.append(stage_words(record.POSITIONS, record.CALL, per_row=1, most=_ALL, **to, **table,
                                **kernel_words(stage, c)))  # fmt: skip
    return made


def _table_words(matrix: Matrix) -> dict[str, int]:
    """Where a table lies of which rows are looked up."""
    return {
        "lookup": lookup_kernel(matrix.format.kernel_name).address, "w": matrix.address,
        "n_panels": n_panels(matrix.n_rows), "n_units": matrix.format.n_units(matrix.n_inputs),
    }  # fmt: skip


def post_norm(stage: PostNorm, c: ModelConfig, w: ModelWeights, b: Buffers) -> Words:
    """to += norm(source), or to = it; then what it is scaled by."""
    source, to = b[stage.source], b[stage.to]
    return _renorm(
        stage, c, x=source.address, x_stride=source.stride, dim=c.dim,
        weight=w.vectors[stage.tensor(stage.weight)], y=to.address, y_stride=to.stride,
        adds=int(stage.adds), scale=w.vectors[stage.tensor(stage.scale)] if stage.scale else 0,
    )  # fmt: skip


def _renorm(stage: Stage, c: ModelConfig, **words: int) -> Words:
    return stage_words(record.RENORMED, record.CALL, per_row=1, most=_ALL,
                       eps=float_word(c.norm_eps), **kernel_words(stage, c), **words)  # fmt: skip


def join(stage: Join, c: ModelConfig, w: ModelWeights, b: Buffers) -> list[Words]:
    """joined = [norm(embedded), norm(state)]."""
    joined, made = b["joined"], []
    for name, source, at in ((stage.first, "embedded", 0), (stage.second, "state", 4 * c.dim)):
        made.append(_renorm(
            stage, c, x=b[source].address, x_stride=b[source].stride, dim=c.dim,
            weight=w.vectors[stage.tensor(name)], y=joined.address + at, y_stride=joined.stride,
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
        made.append(_renorm(stage, c, **rows, weight=w.vectors[stage.tensor(name, kind)]))
    return made
