"""The records of Mamba-2's own stages (families/mamba2.py), their buffers and their memory."""

from __future__ import annotations

from collections.abc import Mapping

from halfbyte.engine.stage_words import Words, float_word, stage_words
from halfbyte.families.mamba2 import CONV, DT, A, D, GroupNorms, Scan
from halfbyte.families.mamba2_config import Mamba2
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.panels import STRIP_ROWS
from halfbyte.kernels.stages import group_norms, mamba2, mamba2_inputs, record

_ALL = 1 << 40


def mamba2_kernels() -> list[Kernel]:
    """What such layers take beside their matrices' products."""
    return [mamba2.scan, group_norms.norm_groups]


def scan_record(
    stage: Scan, m: Mamba2, vectors: Mapping[str, int], common: Mapping[str, int]
) -> Words:
    """That of `scan`; `common`: see record.RECURRENT."""
    n_part = mamba2_inputs.heads_of_part(m.n_heads, m.n_groups)
    return stage_words(
        record.MAMBA2, record.CALL, kernel=mamba2.scan.address, per_span=m.n_heads // n_part,
        **common, n_heads=m.n_heads, head_dim=m.head_dim, n_state=m.n_state,
        n_groups=m.n_groups, n_part=n_part, n_taps=m.n_taps, taps=vectors[stage.tensor(CONV)],
        taps_stride=4 * padded(m.conv_width), bias=vectors[stage.tensor(CONV, "bias")],
        a=vectors[stage.tensor(A, "")], d=vectors[stage.tensor(D, "")],
        dt_bias=vectors[stage.tensor(DT, "bias")],
        dt_low=float_word(m.dt_limits[0]), dt_high=float_word(m.dt_limits[1]),
    )  # fmt: skip


def group_norms_record(
    stage: GroupNorms, m: Mamba2, vectors: Mapping[str, int], rows: Mapping[str, int]
) -> Words:
    """That of `norm_groups`; `rows`: y, y_stride and eps."""
    return stage_words(
        record.GROUPS, record.CALL, kernel=group_norms.norm_groups.address, per_row=m.n_groups,
        most=_ALL, n_groups=m.n_groups, dim=m.output_dim // m.n_groups,
        weight=vectors[stage.tensor(stage.weight)], **rows,
    )  # fmt: skip


def projected_stride(m: Mamba2) -> int:
    """Bytes of a row [z, x, B, C, dt], which is read in whole vectors."""
    return 4 * (-(-m.projected_dim // STRIP_ROWS) * STRIP_ROWS + STRIP_ROWS)


def mamba2_work_nbytes(m: Mamba2) -> int:
    """Bytes of a thread's own memory that a chunk takes."""
    return mamba2_inputs.work_nbytes(m.n_heads, m.head_dim, m.n_state, m.n_groups)
