"""A worker that is kept away in the middle of a product: steps go on, and what it reads stays."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import small_models as small

from halfbyte.engine.engine import Engine, Span
from halfbyte.families.stages import Project
from halfbyte.kernels.compiler import jit
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.pool import CONTENDED, N_INSIDE, STAGE_MASK, Pool
from halfbyte.kernels.stages.record import MATRIX, PRODUCT
from halfbyte.kernels.vectors.atomics import atomic_get, atomic_put, pause
from halfbyte.kernels.vectors.calls import call
from halfbyte.kernels.vectors.scalars import get_i64
from halfbyte.kernels.vectors.words import words

N_TOKENS = 24
PATIENCE = 1 << 28  # seconds: a thread that nobody lets go must not hang the tests
LATE = words("is_late may_go begin end kernel w")


def late_product(late, n_panels, n_units, begin, end, x, x_stride, n, y, y_stride, adds):
    """A product that, where it goes to memory from `begin` to `end`, waits until it may go on."""
    at = y + 128 * begin
    if get_i64(late + LATE.begin) <= at < get_i64(late + LATE.end):
        atomic_put(late + LATE.is_late, 1)
        patience = PATIENCE
        while atomic_get(late + LATE.may_go) == 0 and patience > 0:
            patience -= 1
            pause()
    call(get_i64(late + LATE.kernel), get_i64(late + LATE.w), n_panels, n_units, begin, end, x,
         x_stride, n, y, y_stride, adds)  # fmt: skip


PRODUCT_OF_THE_LATE = Kernel(late_product, "test_late_product")


class LateWorker:
    """Makes an engine's only worker late in a step's first products, until the context ends."""

    def __init__(self, engine: Engine) -> None:
        records = (made[-1] for stage, made in engine.program.stages if isinstance(stage, Project))
        at = int(next(records)[PRODUCT.matrices // 8])
        matrix = np.ctypeslib.as_array((ctypes.c_int64 * len(MATRIX)).from_address(at))
        scratch = engine._buffers.scratch
        begin = scratch.address + scratch.stride  # the second thread's
        self._words = np.array(
            [0, 0, begin, begin + scratch.stride, matrix[MATRIX.narrow // 8],
             matrix[MATRIX.w // 8]]
        )  # fmt: skip
        matrix[MATRIX.narrow // 8] = PRODUCT_OF_THE_LATE.address
        matrix[MATRIX.w // 8] = self._words.ctypes.data
        self._state = engine.pool._state

    def make_late(self, engine: Engine, tokens: list[int]) -> None:
        """Run steps until it has come to one, and is late."""
        while not self._words[LATE.is_late // 8]:
            logits_of(engine, tokens)
        assert self.is_inside

    @property
    def is_inside(self) -> bool:
        """Whether it is in a job, of which all else is long over."""
        return bool(self._state[N_INSIDE // 8])

    def let_go(self) -> None:
        self._words[LATE.may_go // 8] = 1

    def __enter__(self) -> LateWorker:
        return self

    def __exit__(self, *error: object) -> None:
        self.let_go()


@pytest.fixture(scope="module")
def model(kernel_cache: Path) -> Iterator[small.Model]:
    """One of those of test_engine.py, whose compiled kernels it takes."""
    before = jit._directory
    jit.set_cache_root(kernel_cache)
    with closing(Pool(2)) as pool:
        yield small.build(small.SHAPES["F16"], pool)
    jit._directory = before


@pytest.fixture
def engine(model: small.Model) -> Iterator[Engine]:
    with closing(Pool(2)) as like:
        made = model.engine(like)
    yield made
    made.close()


@pytest.fixture(scope="module")
def tokens(model: small.Model) -> list[int]:
    return model.tokens(N_TOKENS)


def logits_of(engine: Engine, tokens: list[int]) -> np.ndarray:
    """Token by token, where each product of a stage may be made twice."""
    sequence, rows = engine.new_sequence(), []
    for token in tokens:
        ctypes.c_int64.from_address(engine.pool.address + CONTENDED).value = STAGE_MASK
        rows.append(engine.forward([Span(sequence, [token], 1)])[0])
    return np.array(rows)


def test_what_a_late_worker_made_is_given_up(engine: Engine, tokens: list[int]) -> None:
    expected = logits_of(engine, tokens)
    with LateWorker(engine) as worker:
        worker.make_late(engine, tokens)
        assert (logits_of(engine, tokens) == expected).all()
        assert worker.is_inside
        worker.let_go()
        for _ in range(5):
            assert (logits_of(engine, tokens) == expected).all()
        engine.pool.wait_for_late_workers()


def test_closing_an_engine_waits_for_it_where_threads_go_on(
    model: small.Model, engine: Engine, tokens: list[int]
) -> None:
    guest = engine.beside(model.config, model.weights, "f32", N_TOKENS)
    buffers = weakref.ref(guest._buffers)
    with LateWorker(guest) as worker:
        worker.make_late(guest, tokens)
        closing_it = threading.Thread(target=guest.close)
        closing_it.start()
        closing_it.join(0.1)
        assert closing_it.is_alive() and buffers() is not None
    closing_it.join()
    gc.collect()
    assert buffers() is None


def test_what_it_reads_outlives_an_engine_that_is_dropped(
    model: small.Model, tokens: list[int]
) -> None:
    with closing(Pool(2)) as like:
        engine = model.engine(like)
    adapted = engine._adapted.program
    kept = [weakref.ref(one) for one in (
        engine.program, engine.program.trunk, adapted, adapted.trunk, engine._buffers,
        engine._out_rows.base,
    )]  # fmt: skip
    with LateWorker(engine) as worker:
        worker.make_late(engine, tokens)
        gone = weakref.ref(engine)
        del engine, adapted
        gc.collect()
        assert gone() is None and worker.is_inside
        assert all(one() is not None for one in kept)
    deadline = time.monotonic() + 60
    while any(one() is not None for one in kept) and time.monotonic() < deadline:
        time.sleep(1e-3)
        gc.collect()
    assert all(one() is None for one in kept)


def test_what_a_dropped_guest_has_left_goes_with_its_host(
    model: small.Model, engine: Engine
) -> None:
    guest = engine.beside(model.config, model.weights, "f32", N_TOKENS)
    buffers = weakref.ref(guest._buffers)
    del guest
    gc.collect()
    assert buffers() is not None
    engine.close()
    gc.collect()
    assert buffers() is None
