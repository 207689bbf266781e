"""States of recurrent layers: the same bits however they came to be, and steps that leave no trace.

What every kind of layer has to hold; chunks, threads, forks and cuts are in test_engine.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import small_models as small

from halfbyte.engine.engine import Engine, Span, StepAborted
from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.engine.sequence import Sequence
from halfbyte.engine.settling import settle
from halfbyte.engine.state_layout import StateLayout
from halfbyte.errors import EngineError, OutOfPagesError
from halfbyte.kernels.layouts.kv_pages import KVLayout
from halfbyte.kernels.pool import Pool

NAMES = [name for name, shape in small.SHAPES.items() if "recurrent" in shape.changes]
N = 40


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest, pools: dict[int, Pool]) -> Any:
    return small.build(small.SHAPES[request.param], pools[2])


@pytest.fixture(scope="module")
def engine(model: Any, pools: dict[int, Pool]) -> Engine:
    return model.engine(pools[2])


@pytest.fixture(scope="module")
def expected(model: Any, engine: Engine) -> np.ndarray:
    return small.run(engine, model.tokens(N), [N])


def state_of(sequence: Sequence) -> RecurrentState:
    (state,) = sequence.states[1:]
    assert isinstance(state, RecurrentState)
    return state


def grown(engine: Engine, tokens: list[int]) -> Sequence:
    sequence = engine.new_sequence()
    small.run(engine, tokens, [len(tokens)], sequence)
    return sequence


def test_guesses_that_were_wrong_are_as_if_never_made(
    model: Any, engine: Engine, expected: np.ndarray
) -> None:
    """A text goes on with some guesses a step, of which any number may be right."""
    rng, tokens, wrong = np.random.default_rng(1), model.tokens(N), model.tokens(N, seed=5)
    sequence, at = engine.new_sequence(), 0
    while at < N:
        n_certain = int(rng.integers(at == 0, 4))
        n_right = int(rng.integers(0, 4))
        right = tokens[at : at + n_certain + n_right]
        guesses = [*right, *wrong[: rng.integers(0, 4)]]
        if not guesses:
            continue
        n_guessed = len(guesses) - min(n_certain, len(right))
        got = engine.forward([Span(sequence, guesses, len(guesses), n_guessed=n_guessed)])
        assert (got[: len(right)] == expected[at : at + len(right)]).all()
        at += len(right)
        assert sequence.first_cut <= at
        sequence.truncate(at)
        assert sequence.n_past == at
        if rng.integers(3) == 0:
            settle(engine, [sequence])
            assert sequence.first_cut == at or not at


def test_a_block_has_the_same_bits_however_it_came_to_be(model: Any, engine: Engine) -> None:
    tokens = model.tokens(N)
    whole = state_of(grown(engine, tokens))
    pieces, guessed = engine.new_sequence(), engine.new_sequence()
    small.run(engine, tokens, [3, 1, 1, 20, N - 25], pieces)
    small.run(engine, tokens[:7], [7], guessed)
    small.run(engine, tokens[7:], [N - 7], guessed, guessed=True)
    assert guessed.first_cut == 7 and state_of(guessed).n_kept == N - 7
    settle(engine, [guessed, pieces])
    assert state_of(guessed).n_kept == 0 and state_of(guessed).journal is None
    for sequence in (pieces, guessed):
        block = state_of(sequence).block
        assert block is not None and whole.block is not None
        assert (block.data == whole.block.data).all() and block.data.any()


def test_an_aborted_step_leaves_a_sequence_as_it_was(
    model: Any, engine: Engine, expected: np.ndarray
) -> None:
    tokens, abort = model.tokens(N), np.ones(1, np.int64)
    sequence = grown(engine, tokens[:9])
    for _ in range(2):
        with pytest.raises(StepAborted):
            engine.forward([Span(sequence, model.tokens(5, seed=6), 1, n_guessed=2)], abort)
        assert (sequence.n_past, sequence.first_cut) == (9, 9)
    assert (small.run(engine, tokens[9:], [N - 9], sequence) == expected[9:]).all()


def test_a_snapshot_is_a_reference_and_is_restored_bit_for_bit(
    model: Any, engine: Engine, expected: np.ndarray
) -> None:
    tokens = model.tokens(N)
    sequence = grown(engine, tokens[:12])
    small.run(engine, tokens[12:20], [8], sequence, guessed=True)
    sequence.truncate(15)
    snapshot = sequence.snapshot()
    assert state_of(snapshot.sequence).block is state_of(sequence).block
    for _ in range(2):
        small.run(engine, model.tokens(30, seed=3), [30], sequence)
        sequence.restore(snapshot)
        fork = sequence.fork(15)
        for one in (sequence, fork):
            assert (small.run(engine, tokens[15:], [N - 15], one) == expected[15:]).all()


def test_what_cannot_be_cut_back_says_from_where_it_can(model: Any, engine: Engine) -> None:
    sequence = grown(engine, model.tokens(N))
    small.run(engine, model.tokens(4), [4], sequence, guessed=True)
    for cut in (sequence.truncate, sequence.fork):
        with pytest.raises(EngineError, match=f"from {N} on"):
            cut(N - 1)
    assert (sequence.n_past, sequence.first_cut) == (N + 4, N)
    sequence.truncate(0)
    assert (sequence.n_past, state_of(sequence).block) == (0, None)


def test_memory_is_counted_taken_again_and_given_back(model: Any, pools: dict[int, Pool]) -> None:
    engine = model.engine(pools[2])
    states, tokens = engine.pages.states, model.tokens(N)
    sequence, places = engine.new_sequence(), set()
    for token in tokens:
        small.run(engine, [token], [1], sequence)
        places.add(state_of(sequence).block.address)
        assert states.nbytes == states.layout.nbytes
    assert len(places) == 2
    assert engine.pages.nbytes == sequence.kv.nbytes + states.nbytes
    snapshots = []
    for token in tokens:
        small.run(engine, [token], [1], sequence)
        snapshots.append(sequence.snapshot())
    assert states.nbytes == N * states.layout.nbytes
    snapshots.clear()
    engine.pages.max_nbytes = engine.pages.nbytes
    with pytest.raises(OutOfPagesError):
        small.run(engine, tokens[:1], [1], sequence)
    engine.pages.max_nbytes = None
    small.run(engine, tokens[:1], [1], sequence)
    del sequence
    assert engine.pages.nbytes == 0


def test_what_is_reserved_again_is_held_once() -> None:
    """A step reserves what was reserved when it was planned; there may be no memory for more."""
    pool = PagePool(KVLayout(1, 1, 16, "f16"), states=StateLayout({0: 0}, 128, 64))
    state = RecurrentState(pool)
    for n_guessed, nbytes in ((4, 128 + 256), (4, 128 + 256), (2, 128 + 128), (0, 128), (4, 384)):
        pool.max_nbytes = nbytes
        for _ in range(2):
            state.reserve(9, n_guessed)
            assert pool.nbytes == nbytes
