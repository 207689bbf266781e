"""The forward pass of a batch of tokens, as one compiled job that walks a list of stages.

The list is a model's program (stages/record.py), made when it is loaded; a stage's chunks are dealt
to the threads, and the next begins when all are done (pool.py). Between two stages nothing is
exchanged but the buffers that their records name.

A batch is rows of tokens, each with a position and a sequence: a prompt's chunk, one token of
many sequences, or both. Nothing here depends on which; see matmul.py and attention.py for why the
bits do not either.
"""

from __future__ import annotations

from halfbyte.kernels.claims import chunk_of, claim_chunk, is_contended, is_first
from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.pool import finish_or_end, is_current, take
from halfbyte.kernels.stages.operations import count_chunks, prepare, run_chunk
from halfbyte.kernels.stages.products import is_repeatable, make, publish
from halfbyte.kernels.stages.record import STAGE_NBYTES, STEP
from halfbyte.kernels.vectors.scalars import get_i64, put_i64, stack

_STEP_NBYTES = 8 * len(STEP)
_OWN = STEP.own_normed


@device
def _run(pool, number, stage, own, n_chunks, thread, end):
    """A thread's part of a stage."""
    chunk = take(pool, number, n_chunks, thread)
    if chunk >= 0:
        prepare(stage, own)
    while chunk >= 0:
        run_chunk(stage, own, chunk, n_chunks)
        finish_or_end(pool, number, n_chunks, get_i64(own + STEP.abort), end)
        chunk = take(pool, number, n_chunks, thread)


@device
def _run_repeatable(pool, number, stage, own, n_chunks, thread, end):
    """The same where chunks of threads that were kept away are made again by others."""
    claim = claim_chunk(pool, number, n_chunks, thread)
    if claim >= 0:
        prepare(stage, own)
    while claim >= 0:
        make(stage, own, chunk_of(claim), n_chunks)
        if is_first(pool, number, claim):
            publish(stage, own, chunk_of(claim), n_chunks)
            finish_or_end(pool, number, n_chunks, get_i64(own + STEP.abort), end)
        claim = claim_chunk(pool, number, n_chunks, thread)


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
    n_stages = get_i64(own + STEP.n_stages)
    for _ in range(n_stages):
        n_chunks = count_chunks(stage, own)
        if n_chunks > 0:
            if is_contended(pool, number) and is_repeatable(stage, own, n_chunks):
                _run_repeatable(pool, number, stage, own, n_chunks, thread, first + n_stages)
            else:
                _run(pool, number, stage, own, n_chunks, thread, first + n_stages)
            number += 1
        stage += STAGE_NBYTES
