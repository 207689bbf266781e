"""The worker pool: every chunk once, stages in order, no thread left behind or left asleep."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.pool import (
    JOB,
    STAGE_MASK,
    TICKET,
    Pool,
    finish,
    is_current,
    item_job,
    share,
    take,
)
from halfbyte.kernels.vectors.atomics import atomic_add, atomic_get, pause
from halfbyte.kernels.vectors.scalars import get_i64
from halfbyte.kernels.vectors.words import words

AsKernel = Callable[[Callable[..., None]], Kernel]

MOST = 9  # chunks of a stage


def _within(seconds: float, function: Callable[[], None]) -> None:
    """Run in a thread of its own, so that a deadlock fails instead of hanging the tests."""
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "deadlock"
    if errors:
        raise errors[0]


@contextmanager
def _pool(n_threads: int) -> Iterator[Pool]:
    """A pool whose closing may not hang either."""
    pool = Pool(n_threads)
    yield pool
    _within(30, pool.close)


@pytest.fixture(params=[1, 2, 4])
def any_pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Also more threads than cores."""
    with _pool(request.param) as pool:
        yield pool


def log_stages(pool, stage, args, thread):
    """Stage i has 1 + 7 i % MOST chunks; each logs its begin and end on a common clock."""
    n_stages, log, clock, work = (
        get_i64(args), get_i64(args + 8), get_i64(args + 16), get_i64(args + 24)
    )  # fmt: skip
    if not is_current(pool, stage):
        return
    for i in range(n_stages):
        n_chunks = 1 + 7 * i % MOST
        chunk = take(pool, stage, n_chunks, thread)
        while chunk >= 0:
            at = log + (i * MOST + chunk) * 32
            atomic_add(at, atomic_add(clock, 1) + 1)
            for _ in range(work * (chunk % 3)):
                pause()
            atomic_add(at + 8, atomic_add(clock, 1) + 1)
            atomic_add(at + 16, 1)
            atomic_add(at + 24, 1 << (8 * thread))
            finish(pool, stage, n_chunks)
            chunk = take(pool, stage, n_chunks, thread)
        stage += 1


def _run_logged(pool: Pool, job: Kernel, n_stages: int, work: int) -> np.ndarray:
    """Run a job of `log_stages` and check its log; returns who did how many chunks."""
    log = np.zeros((n_stages, MOST, 4), np.int64)  # begin, end, times done, by whom
    clock = np.zeros(1, np.int64)
    args = np.array([n_stages, log.ctypes.data, clock.ctypes.data, work], np.int64)
    pool.run(job, args)
    n_chunks = 1 + 7 * np.arange(n_stages) % MOST
    exists = np.arange(MOST) < n_chunks[:, None]
    assert (log[..., 2] == exists).all()
    first = np.where(exists, log[..., 0], 1 << 62).min(1)
    last = np.where(exists, log[..., 1], 0).max(1)
    assert (last[:-1] < first[1:]).all()
    return (log[..., 3, None] >> (8 * np.arange(pool.n_threads)) & 255).sum((0, 1))


@pytest.mark.parametrize("work", [0, 3, 400])
def test_each_chunk_is_done_once_and_stages_in_order(
    as_kernel: AsKernel, any_pool: Pool, work: int
) -> None:
    job = as_kernel(log_stages)

    def many_jobs() -> None:
        for n_stages in [0, 1, 2, 300, 1, 40, 0, 5] + [3] * 50:
            _run_logged(any_pool, job, n_stages, work)

    _within(120, many_jobs)


def test_jobs_with_pauses_between_them(as_kernel: AsKernel, any_pool: Pool) -> None:
    """The workers sleep, spin or are about to sleep when a job comes."""
    job = as_kernel(log_stages)

    def spaced_jobs() -> None:
        for i in range(60):
            _run_logged(any_pool, job, 20, 5)
            time.sleep((i % 7) * 2e-4)

    _within(120, spaced_jobs)


def _count_item(args, i):
    atomic_add(get_i64(args + 8) + 8 * i, i + 1)


@pytest.mark.parametrize("n_items", [1, 3, 1024, 5000])
def test_a_job_over_items_does_each_once(any_pool: Pool, n_items: int) -> None:
    job = item_job(_count_item, words("n_items counts"), "test_items")
    counts = np.zeros(n_items, np.int64)
    any_pool.run(job, np.array([n_items, counts.ctypes.data], np.int64))
    assert (counts == np.arange(1, n_items + 1)).all()


def tiny_stages(pool, stage, args, thread):
    n_stages, total = get_i64(args), get_i64(args + 8)
    if not is_current(pool, stage):
        return
    for i in range(n_stages):
        n_chunks = 1 + i % 3
        chunk = take(pool, stage, n_chunks, thread)
        while chunk >= 0:
            atomic_add(total, 1)
            finish(pool, stage, n_chunks)
            chunk = take(pool, stage, n_chunks, thread)
        stage += 1


def _count_tiny(pool: Pool, job: Kernel, n_stages: int) -> None:
    total = np.zeros(1, np.int64)
    args = np.array([n_stages, total.ctypes.data], np.int64)
    pool.run(job, args)
    assert total[0] == sum(1 + i % 3 for i in range(n_stages))


def test_no_deadlock_over_many_tiny_stages(as_kernel: AsKernel, any_pool: Pool) -> None:
    job = as_kernel(tiny_stages)
    _within(120, lambda: _count_tiny(any_pool, job, 20_000))


def test_beside_busy_processes(as_kernel: AsKernel, any_pool: Pool) -> None:
    job, tiny = as_kernel(log_stages), as_kernel(tiny_stages)
    busy = [
        subprocess.Popen(
            [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
        )
        for _ in range(min(os.cpu_count() or 1, 4))
    ]
    try:
        for process in busy:
            assert process.stdout is not None
            with process.stdout as pipe:
                pipe.readline()

        def jobs() -> None:
            for _ in range(20):
                _run_logged(any_pool, job, 30, 20)
                _count_tiny(any_pool, tiny, 300)

        _within(120, jobs)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def meet_after_a_long_chunk(pool, stage, args, thread):
    """Stage 0 is one long chunk, stage 1 has a chunk per thread and all must meet in it.

    The threads without a chunk in stage 0 fall asleep: only if all are woken can they meet.
    """
    n_threads, length, here, met = (
        get_i64(args), get_i64(args + 8), get_i64(args + 16), get_i64(args + 24)
    )  # fmt: skip
    if not is_current(pool, stage):
        return
    chunk = take(pool, stage, 1, thread)
    if chunk >= 0:
        for _ in range(length):
            pause()
        finish(pool, stage, 1)
        chunk = take(pool, stage, 1, thread)
    stage += 1
    chunk = take(pool, stage, n_threads, thread)
    while chunk >= 0:
        atomic_add(here, 1)
        patience = 1 << 28  # seconds: a sleeper that nobody wakes must not hang the test
        while atomic_get(here) % n_threads != 0 and patience > 0:
            patience -= 1
            pause()
        if patience > 0:
            atomic_add(met, 1)
        finish(pool, stage, n_threads)
        chunk = take(pool, stage, n_threads, thread)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_sleeping_threads_are_woken(as_kernel: AsKernel, n_threads: int) -> None:
    job = as_kernel(meet_after_a_long_chunk)
    here, met = np.zeros((2, 1), np.int64)

    def jobs(pool: Pool) -> None:
        for i in range(20):
            # All threads are in the job before the long chunk ends.
            args = np.array([n_threads, 300_000, here.ctypes.data, met.ctypes.data], np.int64)
            pool.run(job, args)
            assert met[0] == n_threads * (i + 1)

    with _pool(n_threads) as pool:
        _within(300, lambda: jobs(pool))


def test_work_is_shared(as_kernel: AsKernel) -> None:
    who = np.zeros(2, np.int64)

    def until_both(pool: Pool) -> None:
        while not who.all():
            who[:] += _run_logged(pool, as_kernel(log_stages), 200, 100)

    with _pool(2) as pool:
        _within(60, lambda: until_both(pool))


def test_an_idle_pool_uses_no_processor_time(as_kernel: AsKernel) -> None:
    with _pool(4) as pool:
        _count_tiny(pool, as_kernel(tiny_stages), 1000)
        time.sleep(0.1)
        begin = time.process_time()
        time.sleep(0.4)
        # CPU seconds, not a speed: three spinning workers would use 0.4 and more.
        assert time.process_time() - begin < 0.1


def test_an_interrupt_at_any_line_leaves_no_job_open(as_kernel: AsKernel) -> None:
    job = as_kernel(log_stages)
    code, lines = Pool.run.__code__, 0

    def interrupt_at(n: int) -> Callable[..., object]:
        def trace(frame: FrameType, event: str, arg: object) -> object:
            nonlocal lines
            if frame.f_code is not code:
                return None
            if event == "line":
                lines += 1
                if lines == n:
                    raise KeyboardInterrupt
            return trace

        return trace

    with _pool(2) as pool:
        for n in range(1, 20):
            lines = 0
            sys.settrace(interrupt_at(n))
            try:
                _run_logged(pool, job, 5, 3)
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(None)
            jobs = np.ctypeslib.as_array((ctypes.c_int64 * 1).from_address(pool.address + JOB))
            assert jobs[0] % 2 == 1
            _run_logged(pool, job, 5, 3)
            if lines < n:
                break
    assert 2 < n < 19


def test_jobs_have_numbers_of_their_own(as_kernel: AsKernel) -> None:
    """Also those of no stages: a late thread must not take the next job's arguments for theirs."""
    seen = set()
    with _pool(2) as pool:
        for n_stages in (0, 0, 3, 0, 1, 0):
            _run_logged(pool, as_kernel(log_stages), n_stages, 0)
            seen.add(int(pool._state[JOB // 8]))
    assert len(seen) == 6


def test_numbers_of_stages_begin_anew_in_time(as_kernel: AsKernel) -> None:
    job = as_kernel(log_stages)
    with _pool(2) as pool:
        pool._state[TICKET // 8] = (STAGE_MASK >> 1) - 3
        for _ in range(4):
            _within(60, lambda: _run_logged(pool, job, 20, 3))
        assert 0 < pool._state[TICKET // 8] < 100


IN_A_KERNEL = """
import sys, threading, time
from pathlib import Path
import numpy as np
from halfbyte.kernels.compiler import jit
from halfbyte.kernels.vectors.atomics import atomic_put, pause

jit.set_cache_root(Path(sys.argv[1]))
is_in = np.zeros(1, np.int64)

def stay(is_in):
    atomic_put(is_in, 1)
    for _ in range(1 << 34):
        pause()

call = jit.Kernel(stay, "test_stay").call
threading.Thread(target=call, args=(is_in.ctypes.data,), daemon=True).start()
while not is_in[0]:
    time.sleep(1e-3)
"""


def test_a_process_may_end_while_a_thread_is_in_a_kernel(
    run_python: Callable[..., str], kernel_cache: Path
) -> None:
    run_python(IN_A_KERNEL, kernel_cache)


def test_close_ends_the_threads(as_kernel: AsKernel) -> None:
    before = set(threading.enumerate())
    pool = Pool(3)
    _count_tiny(pool, as_kernel(tiny_stages), 10)
    assert len(set(threading.enumerate()) - before) == 2
    _within(30, pool.close)
    assert set(threading.enumerate()) <= before
    _within(30, pool.close)  # again: nothing to do


def test_close_right_after_a_job_and_before_any(as_kernel: AsKernel) -> None:
    job = as_kernel(tiny_stages)

    def open_and_close() -> None:
        for i in range(50):
            pool = Pool(2)
            if i % 2:
                _count_tiny(pool, job, 5)
            pool.close()

    _within(60, open_and_close)


def share_out(n_chunks, n_items, out):
    for chunk in range(n_chunks + 1):
        atomic_add(out + 8 * chunk, share(chunk, n_chunks, n_items))


@pytest.mark.parametrize("n_chunks, n_items", [(1, 5), (4, 4), (7, 100), (16, 3), (1024, 1500)])
def test_share_deals_evenly(call: Callable[..., None], n_chunks: int, n_items: int) -> None:
    starts = np.zeros(n_chunks + 1, np.int64)
    call(share_out, n_chunks, n_items, starts)
    sizes = np.diff(starts)
    assert (starts[0], starts[-1]) == (0, n_items)
    assert sizes.min() >= n_items // n_chunks and sizes.max() <= -(-n_items // n_chunks)
