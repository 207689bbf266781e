"""Chunks that may be made twice: published once, by whoever is first, and nobody is waited for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from halfbyte.kernels.claims import chunk_of, claim_chunk, is_contended, is_first
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.pool import Pool, finish, is_current, take
from halfbyte.kernels.vectors.atomics import atomic_add, atomic_get, atomic_put, pause
from halfbyte.kernels.vectors.scalars import get_i64

AsKernel = Callable[[Callable[..., None]], Kernel]

N_CHUNKS = 5
PATIENCE = 1 << 28  # seconds: a thread that nobody relieves must not hang the test


def relieve(pool, stage, args, thread):
    """Whoever makes chunk 0 first is kept until stage 1 is over, and gives it up then."""
    n_made, n_published, over, n_lost = (
        get_i64(args), get_i64(args + 8), get_i64(args + 16), get_i64(args + 24)
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
        if is_first(pool, stage, claim):
            atomic_add(n_published + 8 * chunk, 1)
            finish(pool, stage, N_CHUNKS)
        else:
            atomic_add(n_lost, 1)
        claim = claim_chunk(pool, stage, N_CHUNKS, thread)
    if take(pool, stage + 1, 1) == 0:
        atomic_put(over, 1)
        finish(pool, stage + 1, 1)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_a_chunk_of_a_thread_that_is_kept_away_is_made_by_another(
    as_kernel: AsKernel, n_threads: int
) -> None:
    job, pool = as_kernel(relieve), Pool(n_threads)
    for _ in range(20):
        words = np.zeros((4, N_CHUNKS), np.int64)
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
                claim = take(pool, stage, n_chunks)
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


def tell_contended(pool, stage, args, thread):
    if is_current(pool, stage) and take(pool, stage, 1) == 0:
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
