"""Chunks that may be made twice: what waits for a thread that was kept away makes its chunk again.

What a stage of the pool (pool.py) is left to wait for are chunks that a thread took before it was
kept away, for a scheduler's slice of some milliseconds. Where a chunk only reads what the stages
before it wrote, and is made in its thread's own memory first, whoever waits makes it again, and
the first to have made it publishes it:

    claim = claim_chunk(pool, stage, n_chunks, thread)
    while claim >= 0:
        ... make chunk_of(claim) in this thread's memory ...
        if is_first(pool, stage, claim):
            ... copy it to where all see it ...
            finish(pool, stage, n_chunks)
        claim = claim_chunk(pool, stage, n_chunks, thread)

A late thread may then read what later stages write: it gives up what it made of that.

A thread writes the ticket of the chunk that it makes to a word of its own, where others find it;
whoever swaps it for NO_CLAIM publishes. Since that costs small models some percent, a stage is done
this way where it `is_contended`, and else by `take`. Some threads may do the one, some the other.
A chunk is made again when another thread would have had it by then (patience.py).
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.patience import CLAIM, begin_anew, is_patient, patience
from halfbyte.kernels.pool import (
    CONTENDED,
    N_THREADS,
    NO_CLAIM,
    ONE_CHUNK,
    STAGE_BITS,
    STAGE_MASK,
    TICKET,
    count_as_contended,
    line_of,
    sleep,
)
from halfbyte.kernels.vectors.atomics import (
    atomic_get,
    atomic_put,
    compare_and_swap,
    pause,
    ticks,
)
from halfbyte.kernels.vectors.scalars import get_i64

# A claim is the number of the thread that took the chunk, then the chunk.
_CHUNK_BITS = 24


@device
def is_contended(pool, stage):
    """Whether a thread was kept away from its core not long before a stage."""
    return atomic_get(pool + CONTENDED) > stage


@device
def claim_chunk(pool, stage, n_chunks, thread):
    """As `take`: a claim to the next chunk, or to one of a thread that is kept away, or -1."""
    line = line_of(pool, thread)
    spins = since = most = 0
    while True:
        ticket = atomic_get(pool + TICKET)
        if ticket & STAGE_MASK != stage:
            return -1
        chunk = ticket >> STAGE_BITS
        if chunk < n_chunks:
            if compare_and_swap(pool + TICKET, ticket, ticket + ONE_CHUNK):
                atomic_put(line + CLAIM, ticket)
                begin_anew(line, stage)
                return (thread << _CHUNK_BITS) + chunk
        elif is_patient(spins, since, most):
            if spins == 0:
                since = ticks()
                most = patience(line, stage, since)
            spins += 1
            pause()
        else:
            count_as_contended(pool, stage)
            for holder in range(get_i64(pool + N_THREADS)):
                held = atomic_get(line_of(pool, holder) + CLAIM)
                if held != NO_CLAIM and held & STAGE_MASK == stage:
                    begin_anew(line, stage)
                    return (holder << _CHUNK_BITS) + (held >> STAGE_BITS)
            sleep(pool, ticket)


@device
def chunk_of(claim):
    """The chunk that a claim is to."""
    return claim & ((1 << _CHUNK_BITS) - 1)


@device
def is_first(pool, stage, claim):
    """Whether nobody else has made the chunk of a claim: then the caller publishes it, alone."""
    ticket = (chunk_of(claim) << STAGE_BITS) + stage
    return compare_and_swap(line_of(pool, claim >> _CHUNK_BITS) + CLAIM, ticket, NO_CLAIM)
