"""An interrupt at any place where Python delivers a signal leaves the old state or the new one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import small_models as small

from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.sequence import Sequence
from halfbyte.kernels.compiler import jit
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.pool import Pool

N_THREADS = 2
DEPTH = 3 * PAGE + 5  # so deep that a single token's pages are dealt to threads


@pytest.fixture(scope="module")
def model(kernel_cache: Path) -> Iterator[object]:
    """One of those of test_engine.py, whose compiled kernels it takes."""
    before = jit._directory
    jit.set_cache_root(kernel_cache)
    with closing(Pool(N_THREADS)) as pool:
        yield small.build(small.SHAPES["Q8_0"], pool)
    jit._directory = before


@pytest.fixture
def engine(model: object) -> Iterator[Engine]:
    made = model.engine(type("Like", (), {"n_threads": N_THREADS}))
    yield made
    made.close()


def interrupted(work: Callable[[], object], at: int) -> bool:
    """Do some work that is interrupted at its at-th place, if it has so many.

    Signals are delivered where a function begins and when a call returns, one of C included.
    """
    n = 0

    def profile(frame: FrameType, event: str, arg: object) -> None:
        nonlocal n
        n += event in ("call", "return", "c_return")
        if n == at:
            raise KeyboardInterrupt

    try:
        sys.setprofile(profile)
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def everywhere(
    prepare: Callable[[], Callable[[], object]], check: Callable[[], None], least: int
) -> None:
    """Interrupt what `prepare` returns at each of its places, at least so many, and check."""
    at = 1
    while interrupted(prepare(), at):
        check()
        at += 1
    check()
    assert at > least


def logits(engine: Engine, sequence: Sequence, tokens: list[int]) -> np.ndarray:
    """The logits after the last of some tokens."""
    return engine.forward([Span(sequence, tokens, 1)])


def test_a_step_that_grows_all_that_grows(engine: Engine, model: object) -> None:
    tokens = model.tokens(DEPTH + 3)
    other = model.tokens(9, seed=1)
    begun, sequence = engine.new_sequence(), engine.new_sequence()
    for i in range(0, DEPTH, PAGE):
        logits(engine, begun, tokens[i : min(i + PAGE, DEPTH)])
    expected = logits(engine, begun.fork(DEPTH), tokens[DEPTH : DEPTH + 1])
    expected_other = logits(engine, engine.new_sequence(), other)

    def prepare() -> Callable[[], object]:
        nonlocal sequence
        sequence = begun.fork(DEPTH)
        # As in the first step of all.
        engine._rotated._pages.clear()
        engine._partials = engine._partials[:0]
        return lambda: logits(engine, sequence, tokens[DEPTH : DEPTH + 1])

    def check() -> None:
        assert sequence.n_past in (DEPTH, DEPTH + 1)
        sequence.truncate(DEPTH)
        assert (logits(engine, engine.new_sequence(), other) == expected_other).all()
        assert (logits(engine, sequence, tokens[DEPTH : DEPTH + 1]) == expected).all()

    everywhere(prepare, check, least=100)


def test_a_step_that_claims_pages_for_two(engine: Engine, model: object) -> None:
    tokens, n = model.tokens(2 * PAGE), PAGE - 3
    first, second = engine.new_sequence(), engine.new_sequence()
    new = [Span(first, tokens[n : n + 9], 1), Span(second, tokens[: PAGE + 1], 1)]
    logits(engine, first, tokens[:n])
    kept = first.fork(n)
    expected = [logits(engine, kept.fork(n), list(new[0].tokens)),
                logits(engine, second.fork(0), list(new[1].tokens))]  # fmt: skip

    def prepare() -> Callable[[], object]:
        first.restore(kept.snapshot())
        second.truncate(0)
        return lambda: engine.forward(new)

    def check() -> None:
        assert first.n_past in (n, n + 9) and second.n_past in (0, PAGE + 1)
        first.truncate(n)
        second.truncate(0)
        for span, one in zip(new, expected, strict=True):
            assert (logits(engine, span.sequence, list(span.tokens)) == one).all()

    everywhere(prepare, check, least=100)


@pytest.mark.parametrize("what", ["truncate", "fork", "restore"])
def test_sequences_that_share_pages(engine: Engine, model: object, what: str) -> None:
    tokens, cut = model.tokens(2 * PAGE + 9), 40
    rest, kept = tokens[2 * PAGE :], engine.new_sequence()
    logits(engine, kept, tokens[: 2 * PAGE])
    expected = logits(engine, kept.fork(2 * PAGE), rest)
    expected_cut = logits(engine, kept.fork(cut), rest)
    ours = kept.fork(2 * PAGE)
    snapshot = kept.fork(cut).snapshot()

    def prepare() -> Callable[[], object]:
        nonlocal ours
        ours = kept.fork(2 * PAGE)  # all of whose pages are shared
        return {
            "truncate": lambda: ours.truncate(cut),
            "fork": lambda: logits(engine, ours.fork(cut), rest),
            "restore": lambda: ours.restore(snapshot),
        }[what]

    def check() -> None:
        assert ours.n_past in (2 * PAGE, cut)
        of_old_state = ours.n_past == 2 * PAGE
        found = logits(engine, ours, rest)
        assert (found == (expected if of_old_state else expected_cut)).all()
        assert (logits(engine, kept.fork(2 * PAGE), rest) == expected).all()

    everywhere(prepare, check, least=15)


def test_an_interrupted_close_is_finished_by_the_next(model: object) -> None:
    before = set(threading.enumerate())

    def prepare() -> Callable[[], object]:
        nonlocal engine
        engine = model.engine(type("Like", (), {"n_threads": N_THREADS}))
        return engine.close

    def check() -> None:
        engine.close()
        assert set(threading.enumerate()) <= before
        assert not hasattr(engine, "weights")

    engine = None
    everywhere(prepare, check, least=10)
