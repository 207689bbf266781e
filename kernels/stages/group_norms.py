"""RMSNorm of groups of features, each by itself."""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import kernel
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.record import GROUPS
from halfbyte.kernels.stages.rope import norm_head
from halfbyte.kernels.stages.rows import n_rows
from halfbyte.kernels.vectors.scalars import get_f32, get_i64


@kernel
def norm_groups(stage, step, chunk, n_chunks):
    """RMSNorm of some rows' groups of features, in place."""
    n_groups, width = get_i64(stage + GROUPS.n_groups), 4 * get_i64(stage + GROUPS.dim)
    n = n_rows(stage, step) * n_groups
    for i in range(share(chunk, n_chunks, n), share(chunk + 1, n_chunks, n)):
        at = i % n_groups * width
        y = get_i64(stage + GROUPS.y) + i // n_groups * get_i64(stage + GROUPS.y_stride) + at
        norm_head(y, get_i64(stage + GROUPS.weight) + at, get_i64(stage + GROUPS.dim),
                  get_f32(stage + GROUPS.eps))  # fmt: skip
