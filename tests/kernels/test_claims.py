"""Chunks that may be made twice: published once, by whoever is first, and nobody is waited for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from halfbyte.kernels.claims import chunk_of, claim_chunk, is_contended, is_first
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.patience import BEGAN, LEAST_SPINS
from halfbyte.kernels.pool import CONTENDED, Pool, finish, is_current, line_of, take
from halfbyte.kernels.vectors.atomics import atomic_add, atomic_get, atomic_put, pause, ticks
from halfbyte.kernels.vectors.scalars import get_i64, put_i64

AsKernel = Callable[[Callable[..., None]], Kernel]

N_CHUNKS = 5
PATIENCE = 1 << 28  # seconds: a thread that nobody relieves must not hang the test
AGES = -(1 << 60)  # of a clock


def relieve(pool, stage, args, thread):
    """Whoever makes chunk 0 first is kept until stage 1 is over, and gives it up then.

    The others' own chunks were begun as long ago as `ago` says.
    """
    n_made, n_published, over, n_lost, ago = (
        get_i64(args), get_i64(args + 8), get_i64(args + 16), get_i64(args + 24), get_i64(args + 32)
    )  # fmt: skip
    if not is_current(pool, stage):
        return
    claim = claim_chunk(pool, stage, N_CHUNKS, thread)
    while claim >= 0:
        chunk = chunk_of(claim)
        if atomic_add(n_made + 8 * chunk, 1) == 0 and chunk == 0:
            patience = PATIENCE
            while atomic_get(over) == 0 and patience > 0:
                patience -= 1
                pause()
        elif get_i64(ago) != 0:
            put_i64(line_of(pool, thread) + BEGAN, get_i64(ago))
        if is_first(pool, stage, claim):
            atomic_add(n_published + 8 * chunk, 1)
            finish(pool, stage, N_CHUNKS)
        else:
            atomic_add(n_lost, 1)
        claim = claim_chunk(pool, stage, N_CHUNKS, thread)
    if take(pool, stage + 1, 1, thread) == 0:
        atomic_put(over, 1)
        finish(pool, stage + 1, 1)


@pytest.mark.parametrize("n_threads", [2, 3])
@pytest.mark.parametrize("ago", [0, AGES], ids=["short chunks", "a clock that jumps"])
def test_a_chunk_of_a_thread_that_is_kept_away_is_made_by_another(
    as_kernel: AsKernel, n_threads: int, ago: int
) -> None:
    job, pool = as_kernel(relieve), Pool(n_threads)
    for _ in range(20):
        words = np.zeros((5, N_CHUNKS), np.int64)
        words[4] = ago
        pool.run(job, np.array([row.ctypes.data for row in words], np.int64))
        assert (words[1] == 1).all() and words[2, 0] == 1
        pool.wait_for_late_workers()  # who still count what they lost
        assert words[0, 0] >= 2 and words[3, 0] == words[0].sum() - N_CHUNKS
    pool.close()


def claim_or_take(pool, stage, args, thread):
    """Odd threads take chunks, even ones claim them; each counts what it does."""
    n_stages, counts, work = get_i64(args), get_i64(args + 8), get_i64(args + 16)
    if not is_current(pool, stage):
        return
    for i in range(n_stages):
        n_chunks = 1 + i % N_CHUNKS
        claim = 0
        while claim >= 0:
            if thread & 1:
                claim = take(pool, stage, n_chunks, thread)
            else:
                claim = claim_chunk(pool, stage, n_chunks, thread)
            if claim >= 0:
                for _ in range(work * (chunk_of(claim) % 3)):
                    pause()
                if thread & 1 or is_first(pool, stage, claim):
                    atomic_add(counts + 8 * (i * N_CHUNKS + chunk_of(claim)), 1)
                    finish(pool, stage, n_chunks)
        stage += 1


@pytest.mark.parametrize("work", [0, 100, 5000])  # the last takes longer than a thread waits
def test_some_may_claim_and_some_take(as_kernel: AsKernel, work: int) -> None:
    job, pool, n_stages = as_kernel(claim_or_take), Pool(4), 60
    expected = np.arange(N_CHUNKS) <= np.arange(n_stages)[:, None] % N_CHUNKS
    for _ in range(10):
        counts = np.zeros((n_stages, N_CHUNKS), np.int64)
        pool.run(job, np.array([n_stages, counts.ctypes.data, work], np.int64))
        assert (counts == expected).all()
    pool.close()


def one_is_slower(pool, stage, args, thread):
    """A chunk for each of two threads, which takes ages; the first is done some time later.

    By then the other has waited for longer than every thread does.
    """
    n_made, waits, claims, waited = (
        get_i64(args), get_i64(args + 8), get_i64(args + 16), get_i64(args + 24)
    )  # fmt: skip
    if not is_current(pool, stage):
        return
    claim = 0
    while claim >= 0:
        begin = ticks()
        if claims:
            claim = claim_chunk(pool, stage, 2, thread)
        else:
            claim = take(pool, stage, 2, thread)
        if claim >= 0:
            if atomic_add(n_made + 8 * chunk_of(claim), 1) == 1:
                atomic_put(waited, ticks() - begin)
            put_i64(line_of(pool, thread) + BEGAN, AGES)
            patience = PATIENCE
            while chunk_of(claim) == 0 and atomic_get(waits) == 0 and patience > 0:
                patience -= 1
                pause()
            for _ in range((1 - chunk_of(claim)) * 10 * LEAST_SPINS):
                pause()
            if not claims or is_first(pool, stage, claim):
                finish(pool, stage, 2)
            atomic_put(waits, 1)


def spin(ticks_of_least):
    begin = ticks()
    for _ in range(LEAST_SPINS):
        pause()
    put_i64(ticks_of_least, ticks() - begin)


def _one_is_slower(pool: Pool, job: Kernel, claims: int) -> tuple[list[int], int]:
    """How often each chunk is made, and how long who made one again had waited, in ticks."""
    n_made, (waits, waited) = np.zeros(2, np.int64), np.zeros((2, 1), np.int64)
    addresses = n_made.ctypes.data, waits.ctypes.data, claims, waited.ctypes.data
    pool.run(job, np.array(addresses, np.int64))
    pool.wait_for_late_workers()
    return n_made.tolist(), int(waited[0])


def test_a_long_chunk_is_not_taken_for_a_thread_that_is_kept_away(as_kernel: AsKernel) -> None:
    job, pool = as_kernel(one_is_slower), Pool(2)
    for _ in range(20):
        assert _one_is_slower(pool, job, 0) == ([1, 1], 0)
    assert pool._state[CONTENDED // 8] == 0
    pool.close()


def test_a_long_chunk_is_made_once(as_kernel: AsKernel) -> None:
    """On a busy machine its thread may be kept away meanwhile: for long, and only then."""
    job, pool, least = as_kernel(one_is_slower), Pool(2), []
    for _ in range(10):
        out = np.zeros(1, np.int64)
        as_kernel(spin).call(out.ctypes.data)
        least.append(int(out[0]))
    for _ in range(40):
        n_made, waited = _one_is_slower(pool, job, 1)
        assert n_made == [1, 1] or (n_made == [2, 1] and waited > 10 * min(least))
    pool.close()


def tell_contended(pool, stage, args, thread):
    if is_current(pool, stage) and take(pool, stage, 1, thread) == 0:
        atomic_put(get_i64(args), int(is_contended(pool, stage)))
        finish(pool, stage, 1)


def test_a_thread_that_waits_long_says_that_the_machine_is_contended(as_kernel: AsKernel) -> None:
    tell, wait, pool = as_kernel(tell_contended), as_kernel(claim_or_take), Pool(2)
    found = np.zeros(1, np.int64)

    def told() -> int:
        pool.run(tell, np.array([found.ctypes.data], np.int64))
        return int(found[0])

    assert told() == 0
    counts = np.zeros((3, N_CHUNKS), np.int64)
    pool.run(wait, np.array([3, counts.ctypes.data, 1_000_000], np.int64))
    assert told() == 1
    counts = np.zeros((3000, N_CHUNKS), np.int64)
    while told() == 1:  # until that is long ago
        pool.run(wait, np.array([3000, counts.ctypes.data, 0], np.int64))
    pool.close()
