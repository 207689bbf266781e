"""Stages whose kernels are compiled alone, and called through the address in their record.

Models that have none of them neither compile nor load their code. A kernel takes four integers:
the stage's record, the thread's copy of the step's words, the chunk, and how many there are.
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.stages.record import CALLED, STEP
from halfbyte.kernels.stages.rows import n_rows
from halfbyte.kernels.vectors.calls import call
from halfbyte.kernels.vectors.scalars import get_i64


@device
def n_chunks(stage, step):
    """How many chunks: it follows from the rows alone, as late threads must count alike."""
    if get_i64(stage + CALLED.per_span) != 0:
        return get_i64(step + STEP.n_spans) * get_i64(stage + CALLED.per_span)
    n = n_rows(stage, step)
    if n < get_i64(stage + CALLED.least_rows):
        return 0
    n = min(n * get_i64(stage + CALLED.per_row), get_i64(stage + CALLED.most))
    return min(n, get_i64(step + STEP.max_chunks))


@device
def run(stage, step, chunk, n_chunks):
    """Do a chunk."""
    call(get_i64(stage + CALLED.kernel), stage, step, chunk, n_chunks)
