"""How long a thread waits for a chunk that another one makes, before it takes it for kept away.

The chunks of a stage are alike, and what a thread is left to wait for was begun before it looked:
so it is done within the time that its own took, or whoever makes it has lost its core. Only that
tells the two apart: a chunk lasts from a microsecond to milliseconds, by the model and the machine.

Of its stage, and of the time that its chunks take, each thread keeps word in a line of its own
(pool.py). The functions take the line's address.
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.vectors.atomics import ticks
from halfbyte.kernels.vectors.scalars import get_i64, put_i64

# A thread's line: the ticket of the chunk that others may make too (claims.py), or NO_CLAIM; the
# stage of its last chunk; when it took the first of these that count, and how many they are.
CLAIM, STAGE, BEGAN, N_TAKEN = (8 * i for i in range(4))

# About 60 us, that everybody waits: more than most stages of a token last.
LEAST_SPINS = 3000
# Some milliseconds, as long as a thread is kept away: who has waited for them should rest.
_MOST_SPINS = 100_000


@device
def begin_chunk(line, stage):
    """A thread takes a chunk. The clock is read at a stage's first, which costs the least."""
    if get_i64(line + STAGE) == stage:
        put_i64(line + N_TAKEN, get_i64(line + N_TAKEN) + 1)
    else:
        begin_anew(line, stage)


@device
def begin_anew(line, stage):
    """The same where those before do not count: a thread may have been kept away in one."""
    put_i64(line + STAGE, stage)
    put_i64(line + BEGAN, ticks())
    put_i64(line + N_TAKEN, 1)


@device
def patience(line, stage, now):
    """Ticks that another's chunk may take from now on: a quarter more than the thread's own.

    0 where it has made none of the stage.
    """
    if get_i64(line + STAGE) != stage:
        return 0
    own = (now - get_i64(line + BEGAN)) // get_i64(line + N_TAKEN)
    return own + own // 4


@device
def is_patient(spins, since, most):
    """Whether a thread goes on spinning that has waited since then and may for `most` ticks."""
    if spins < LEAST_SPINS:
        return True
    return spins < _MOST_SPINS and ticks() - since < most
