"""The forward pass of a batch of tokens, as one compiled job that walks a list of stages.

The list is a model's program (stages/record.py), made when it is loaded; a stage's chunks are dealt
to the threads, and the next begins when all are done (pool.py). Between two stages nothing is
exchanged but the buffers that their records name.

A batch is rows of tokens, each with a position and a sequence: a prompt's chunk, one token of
many sequences, or both. Nothing here depends on which; see matmul.py and attention.py for why the
bits do not either.
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import kernel
from halfbyte.kernels.pool import finish_or_end, is_current, take
from halfbyte.kernels.stages.operations import count_chunks, prepare, run_chunk
from halfbyte.kernels.stages.record import STAGE_NBYTES, STEP
from halfbyte.kernels.vectors.scalars import get_i64, put_i64, stack

_STEP_NBYTES = 8 * len(STEP)
_OWN = STEP.own_normed


@kernel
def step(pool, first, args, thread):
    """One forward pass; `args` is the address of the words named by STEP."""
    own = stack(_STEP_NBYTES)
    for at in range(0, _STEP_NBYTES, 8):
        put_i64(own + at, get_i64(args + at))
    if not is_current(pool, first):
        return
    for at in range(_OWN, _STEP_NBYTES, 8):
        put_i64(own + at, get_i64(own + at) + thread * get_i64(own + STEP.scratch_stride))

    number, stage = first, get_i64(own + STEP.program)
    n_stages, abort = get_i64(own + STEP.n_stages), get_i64(own + STEP.abort)
    for _ in range(n_stages):
        n_chunks = count_chunks(stage, own)
        if n_chunks > 0:
            chunk = take(pool, number, n_chunks)
            if chunk >= 0:
                prepare(stage, own)
            while chunk >= 0:
                run_chunk(stage, own, chunk, n_chunks)
                finish_or_end(pool, number, n_chunks, abort, first + n_stages)
                chunk = take(pool, number, n_chunks)
            number += 1
        stage += STAGE_NBYTES
