"""Layers that fold all they have seen into one state, which cannot be cut back, in a small engine.

No family here has such layers yet. The engine is a toy one; the sequences, their pages, the batch
and what is remembered are real.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

import numpy as np
import pytest
from comings_and_goings import check_bits, run
from remembered import LAYOUT
from scripted import Caller, batch_of, numbered_request

from halfbyte.engine.engine import StepAborted
from halfbyte.engine.kv_cache import KVCache
from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.sequence import Sequence
from halfbyte.generation import prompt_memory
from halfbyte.generation.prompt_memory import Bounds
from halfbyte.generation.request import Request
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.kernels.layouts.kv_pages import PAGE

N_VOCAB, N_STATE = 333, 8
PLENTY = Bounds(nbytes=1 << 30)


class Recurrent:
    """A state of some numbers, after n tokens."""

    can_truncate = False
    nbytes = 8 * N_STATE

    def __init__(self, numbers: np.ndarray | None = None, n: int = 0) -> None:
        self.numbers = np.zeros(N_STATE) if numbers is None else numbers
        self.n = n

    @property
    def first_cut(self) -> int:
        return self.n

    def reserve(self, n_positions: int, n_guessed: int = 0) -> None:
        """It has one size."""

    def advanced(self, n_new: int) -> Recurrent:
        return self

    def cut(self, n_positions: int) -> Recurrent:
        assert n_positions == self.n
        return self

    def fork(self, n_positions: int) -> Recurrent:
        assert n_positions == self.n
        return Recurrent(self.numbers.copy(), self.n)

    def see(self, key: float) -> None:
        self.numbers[:] = 0.9 * self.numbers + np.sin(key * np.arange(1, N_STATE + 1))
        self.n += 1


class RecurrentEngine:
    """Logits of a state, and of the values of all positions: each sees both."""

    n_ctx = 4000

    def __init__(self) -> None:
        self.layout, self.pages = LAYOUT, PagePool(LAYOUT)
        self._out = np.random.default_rng(1).standard_normal((N_VOCAB, N_STATE + 1))
        self.n_computed = 0

    def new_sequence(self) -> Sequence:
        return Sequence(KVCache(self.pages), Recurrent())

    def forward(self, spans: Seq[Any], abort: Any = None) -> np.ndarray:
        if abort is not None and abort[0]:
            raise StepAborted
        rows = []
        for span in spans:
            rows += [self._see(span.sequence, token) for token in span.tokens][
                len(span.tokens) - span.n_out :
            ]
        self.n_computed += sum(len(span.tokens) for span in spans)
        return np.array(rows, np.float32).reshape(-1, N_VOCAB)

    def _see(self, sequence: Sequence, token: int) -> np.ndarray:
        sequence.reserve(1)
        n = sequence.n_past
        values_at(sequence, n)[:] = token
        sequence.append(1)
        state = sequence.states[1]
        assert isinstance(state, Recurrent) and state.n == n
        state.see(float(token))
        seen = sum(float(values_at(sequence, at)[0]) for at in (0, n // 2, n))
        return self._out @ np.append(state.numbers, np.cos(seen))


def values_at(sequence: Sequence, position: int) -> np.ndarray:
    """What a page holds of one position."""
    numbers = sequence.kv.pages[position // PAGE].data.view(np.float32)
    return numbers[PAGE * 16 :].reshape(PAGE, -1)[position % PAGE]


def tokens_of(n: int) -> list[int]:
    return np.random.default_rng(n % 3).integers(3, N_VOCAB, 2000)[:n].tolist()


def answered(batch: RunningBatch, prompt: list[int], n: int = 6, **more: Any) -> Request:
    request = numbered_request(1, prompt, n)
    for name, value in more.items():
        setattr(request, name, value)
    Caller(request)
    batch.add(request)
    run(batch)
    return request


def test_answers_are_the_same_bits_whoever_comes_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_memory, "SNAPSHOT_DISTANCE", 30)
    assert max(check_bits(RecurrentEngine(), tokens_of, monkeypatch)[0]) > 0


def test_a_conversation_goes_on_from_the_end_of_its_turn() -> None:
    engine = RecurrentEngine()
    batch, prompt = batch_of(engine, PLENTY), tokens_of(300)
    for n_turn in range(4):
        done = answered(batch, prompt)
        assert done.n_reused == (len(prompt) - 40 - 1 if n_turn else 0)
        alone = answered(batch_of(RecurrentEngine()), prompt)
        assert done.ids == alone.ids
        prompt = [*done.ids, *range(10 + n_turn, 50 + n_turn)]


def test_a_prompt_that_changes_goes_on_from_the_last_snapshot_before() -> None:
    batch, prompt = batch_of(RecurrentEngine(), PLENTY), tokens_of(1200)
    assert answered(batch, prompt).n_reused == 0
    changed = [*prompt[:1100], 5, *prompt[1101:]]
    done = answered(batch, changed)
    assert done.n_reused == 1024  # two steps are SNAPSHOT_DISTANCE
    assert done.ids == answered(batch_of(RecurrentEngine()), changed).ids


def test_guesses_that_could_not_be_taken_back_are_not_made() -> None:
    prompt = tokens_of(200)
    alone = answered(batch_of(RecurrentEngine()), prompt)
    guesses = [*alone.tokens[:3], 7, 7]
    done = answered(batch_of(RecurrentEngine(), PLENTY), prompt, drafter=Drafter(guesses, ()))
    assert (done.n_drafted, done.ids) == (0, alone.ids)


def test_what_lost_its_memory_goes_on_from_a_snapshot() -> None:
    engine = RecurrentEngine()
    batch, prompt = batch_of(engine, PLENTY), tokens_of(600)
    request = numbered_request(1, prompt, 6)
    Caller(request)
    batch.add(request)
    while len(request.tokens) < 3:
        batch.step()
    batch._preempt(request)
    run(batch)
    assert engine.n_computed == len(prompt) + 5  # nothing twice: it was remembered where it was
    assert request.ids == answered(batch_of(RecurrentEngine()), prompt).ids
