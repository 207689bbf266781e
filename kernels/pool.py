"""Threads that work through one job together, stage by stage.

A job is a kernel that every thread runs from beginning to end. It is a sequence of stages, and a
stage is a number of chunks that may be done in any order by any thread:

    chunk = take(pool, stage, n_chunks, thread)  # -1: the stage is over
    while chunk >= 0:
        ... do the chunk ...
        finish(pool, stage, n_chunks)
        chunk = take(pool, stage, n_chunks, thread)
    stage += 1

There is no barrier that every thread must reach. A stage is over when its chunks are done, whoever
did them, and a thread that the system kept away finds the stages over that it missed and catches
up. So a busy neighbour on one core costs a share of the speed and not a stall per stage, and a
pool of one is the same program.

What is left to wait for are chunks that a thread took before it was kept away: claims.py. When it
was, and does not just make a long chunk: patience.py.

The state is one word, `ticket`: the stage's number (counted up over all jobs, for weeks before one
comes again) in the low bits and the next chunk in the high ones, so that a late thread can never
take a chunk of another stage. Waiting threads spin for a while, then sleep on `ticket`. Between
jobs the workers spin a little longer, then wait in Python, where an idle pool costs nothing.

A late thread may look at a job's arguments when the job is long over. They stand in the pool's own
memory, which lives as long as its workers.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.compiler.jit import Kernel, device, kernel
from halfbyte.kernels.patience import begin_chunk, is_patient, patience
from halfbyte.kernels.vectors.atomics import (
    atomic_add,
    atomic_get,
    atomic_put,
    compare_and_swap,
    pause,
    sleep_while,
    ticks,
    wake_all,
)
from halfbyte.kernels.vectors.calls import call
from halfbyte.kernels.vectors.scalars import get_i64, put_i64, stack

# Words of the shared state, a cache line apart; last the arguments, and a line of each thread
# (patience.py).
LINE = 64
(
    TICKET, DONE, SLEEPERS, JOB, FUNCTION, CONTENDED, N_THREADS, N_INSIDE, ARGS
) = (i * LINE for i in range(9))  # fmt: skip
MAX_ARGS = 32
_LINES = ARGS + 8 * MAX_ARGS
NO_CLAIM = -1

# The stage stands in the low bits, of which a sleeper compares 32: it cannot miss a new stage.
STAGE_BITS = 40
STAGE_MASK = (1 << STAGE_BITS) - 1
ONE_CHUNK = 1 << STAGE_BITS
_MAX_ITEM_CHUNKS = 1024

_SPINS_BETWEEN_JOBS = 10000  # about 200 us
# For how many stages the machine counts as contended from then on.
_CONTENDED_STAGES = 2000


@device
def line_of(pool, thread):
    """A thread's own line."""
    return pool + _LINES + thread * LINE


@device
def take(pool, stage, n_chunks, thread):
    """The next chunk of a stage; waits while others finish its last ones; -1 when it is over."""
    line = line_of(pool, thread)
    spins = since = most = 0
    while True:
        ticket = atomic_get(pool + TICKET)
        if ticket & STAGE_MASK != stage:
            return -1
        chunk = ticket >> STAGE_BITS
        if chunk < n_chunks:
            if compare_and_swap(pool + TICKET, ticket, ticket + ONE_CHUNK):
                begin_chunk(line, stage)
                return chunk
        elif is_patient(spins, since, most):
            if spins == 0:
                since = ticks()
                most = patience(line, stage, since)
            spins += 1
            pause()
        else:
            if ticks() - since >= most:
                count_as_contended(pool, stage)
            sleep(pool, ticket)


@device
def count_as_contended(pool, stage):
    """A thread has waited in vain for longer than the chunks of a stage take."""
    atomic_put(pool + CONTENDED, stage + _CONTENDED_STAGES)


@device
def sleep(pool, ticket):
    """Until the next stage. Whoever ends this one sees a sleeper, or this thread the new stage."""
    atomic_add(pool + SLEEPERS, 1)
    sleep_while(pool + TICKET, ticket)
    atomic_add(pool + SLEEPERS, -1)


@device
def finish(pool, stage, n_chunks):
    """Count a chunk as done; the last one opens the next stage."""
    if atomic_add(pool + DONE, 1) == n_chunks - 1:
        atomic_put(pool + DONE, 0)
        atomic_put(pool + TICKET, stage + 1)
        if atomic_get(pool + SLEEPERS) != 0:
            wake_all(pool + TICKET)


@device
def finish_or_end(pool, stage, n_chunks, abort, end):
    """As `finish`; but where the word at `abort` is not 0, the stage opened is `end`.

    That one lies behind all of the job's, so that every thread finds its own stages over: whoever
    does a stage's last chunk decides alone, and no thread can disagree.
    """
    if atomic_add(pool + DONE, 1) == n_chunks - 1:
        atomic_put(pool + DONE, 0)
        atomic_put(pool + TICKET, end if atomic_get(abort) != 0 else stage + 1)
        if atomic_get(pool + SLEEPERS) != 0:
            wake_all(pool + TICKET)


@device
def share(chunk, n_chunks, n_items):
    """First item of a chunk when n_items are dealt to n_chunks evenly."""
    return chunk * n_items // n_chunks


@device
def is_current(pool, first):
    """Whether the job that began with stage `first` still runs.

    A late thread asks after it has copied the job's arguments, and leaves if they may be another
    job's. (Adding nothing, unlike a load, also keeps the copies before it.)
    """
    return atomic_add(pool + JOB, 0) == 2 * first


def item_job(item: Callable[..., None], words: Any, name: str) -> Kernel:
    """A job of one stage: `item(args, i)` for each i below the first of the arguments, 1 or more.

    Args:
        item: a function for kernels; its `args` is the address of a thread's own copy of them.
        words: their names.
        name: the kernel's.
    """
    item.__qualname__ = f"{name}.item"
    ITEM, NBYTES = device(item), 8 * len(words)

    def run(pool, first, args, thread):
        own = stack(NBYTES)
        for at in range(0, NBYTES, 8):
            put_i64(own + at, get_i64(args + at))
        if not is_current(pool, first):
            return
        n_items = get_i64(own)
        n_chunks = min(n_items, _MAX_ITEM_CHUNKS)
        chunk = take(pool, first, n_chunks, thread)
        while chunk >= 0:
            for i in range(share(chunk, n_chunks, n_items), share(chunk + 1, n_chunks, n_items)):
                ITEM(own, i)
            finish(pool, first, n_chunks)
            chunk = take(pool, first, n_chunks, thread)

    return Kernel(run, name)


@kernel
def serve(pool, thread, last_job_at, n_spins):
    """Run jobs as they come; returns after `n_spins` without a new one."""
    seen = get_i64(last_job_at)
    spins = 0
    while spins < n_spins:
        job = atomic_get(pool + JOB)
        if job == seen or job & 1:
            spins += 1
            pause()
            continue
        function = atomic_get(pool + FUNCTION)
        atomic_add(pool + N_INSIDE, 1)
        if is_current(pool, job >> 1):
            seen = job
            atomic_put(last_job_at, job)
            call(function, pool, job >> 1, pool + ARGS, thread)
            spins = 0
        atomic_add(pool + N_INSIDE, -1)


@kernel
def run_job(pool, function, args, n_args):
    """Post a job, take part in it as thread 0, and close it.

    One call into compiled code, since an interrupt may come between any two lines of Python, and a
    job that is open while its caller has left reads what is gone.
    """
    first = atomic_get(pool + TICKET) + 1  # by which a job of no stages differs from the next too
    if first > STAGE_MASK >> 1:
        first = 0
        atomic_put(pool + CONTENDED, 0)
    atomic_put(pool + TICKET, first)
    atomic_put(pool + FUNCTION, function)
    for i in range(n_args):
        atomic_put(pool + ARGS + 8 * i, get_i64(8 * i + args))
    atomic_put(pool + JOB, 2 * first)
    call(function, pool, first, pool + ARGS, 0)
    atomic_put(pool + JOB, 2 * first + 1)


class ThreadsError(RuntimeError):
    """The system gives no more threads; `n_running` is how many there could be."""

    def __init__(self, n_running: int, n_threads: int) -> None:
        super().__init__(f"{n_running} of {n_threads} threads could be started")
        self.n_running = n_running


class Pool:
    """`n_threads` threads: the caller of `run` and n_threads - 1 workers.

    Only one thread may be in `run` at a time; the owner sees to that.

    Raises:
        ThreadsError: a thread cannot be started; those that could are stopped.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self._words = np.zeros((_LINES + (n_threads + 1) * LINE) // 8, np.int64)
        base = int(self._words.ctypes.data)
        self.address = base + -base % LINE
        self._state = words = self._words[(self.address - base) // 8 :]
        words[JOB // 8] = 1  # no job
        words[N_THREADS // 8] = n_threads
        words[_LINES // 8 :] = NO_CLAIM  # of no stage, too
        self._serve, self._run_job = serve.call, run_job.call
        self._is_running = self._stopping = False
        self._pid = os.getpid()
        # Of all that Python waits on, only this may be used while garbage is collected.
        self._wake = [queue.SimpleQueue[None]() for _ in range(n_threads - 1)]
        self._threads = [
            threading.Thread(target=self._work, args=(i,), name=f"halfbyte-{i + 1}", daemon=True)
            for i in range(n_threads - 1)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except BaseException as error:
            self.stop()
            if isinstance(error, (RuntimeError, MemoryError)):
                n_running = 1 + sum(thread.ident is not None for thread in self._threads)
                raise ThreadsError(n_running, n_threads) from error
            raise

    def run(self, function: Kernel, args: NDArray[np.int64]) -> None:
        """Run a job with all threads; returns when its last stage is over.

        Args:
            function: a kernel of (pool, first stage, args, thread), `args` being the address of
                a copy of:
            args: int64, at most MAX_ARGS words.
        """
        if args.size > MAX_ARGS:
            raise ValueError(f"{args.size} arguments of a job; there is room for {MAX_ARGS}")
        if self._stopping:
            raise RuntimeError("the pool was stopped")
        address = function.address
        try:
            self._is_running = True
            for queue_ in self._wake:
                if queue_.empty():
                    queue_.put(None)
            self._run_job(self.address, address, int(args.ctypes.data), args.size)
        finally:
            self._is_running = False

    def stop(self, *kept: object) -> None:
        """Tell the workers to end, and keep some objects alive until they have.

        Waits for nothing and takes no lock: it may be called while garbage is collected, in the
        middle of whatever a thread was doing, starting another thread for one.
        """
        self._kept = kept
        self._stopping = True
        if os.getpid() == self._pid:
            for queue_ in self._wake:
                queue_.put(None)

    def wait_for_late_workers(self) -> None:
        """Until none is in a job, which may be over: what its stages read can be freed then."""
        while os.getpid() == self._pid and self._state[N_INSIDE // 8] != 0:
            time.sleep(1e-4)

    def close(self) -> None:
        """Stop the workers and wait for them; in a forked child there are none."""
        self.stop()
        if os.getpid() == self._pid:
            for thread in self._threads:
                thread.join()

    def _work(self, i: int) -> None:
        seen = np.ones(1, np.int64)
        while True:
            self._wake[i].get()
            if self._stopping:
                return
            while True:
                self._serve(self.address, i + 1, int(seen.ctypes.data), _SPINS_BETWEEN_JOBS)
                # Its caller may have been kept from posting the job for longer than that.
                if not self._is_running:
                    break
