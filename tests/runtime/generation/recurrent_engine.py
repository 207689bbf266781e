"""A toy engine with layers that fold all they have seen into a state, and attention beside them.

The arithmetic is a toy; sequences, pages, blocks and journals are real, and used as kernels do.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from remembered import LAYOUT, STATE_SIZE, STATES, states_of

from halfbyte.engine.engine import StepAborted
from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.sequence import Sequence
from halfbyte.engine.state_pool import Block
from halfbyte.kernels.layouts.kv_pages import PAGE

N_VOCAB, N_STATE = 333, 8


class RecurrentEngine:
    """Logits of a state, and of the values of all positions: each sees both.

    Attributes:
        n_computed, n_replayed: tokens that went through it, and of guesses once more.
    """

    n_ctx = 4000
    nbytes_per_token, expert_share = 1, 0.0

    def __init__(self, seed: int = 1, state_nbytes: int = STATE_SIZE) -> None:
        self.layout, self.expert_share = LAYOUT, 0.0
        self.pages = PagePool(LAYOUT, states=replace(STATES, state_nbytes=state_nbytes))
        self._out = np.random.default_rng(seed).standard_normal((N_VOCAB, N_STATE + 1))
        self.n_computed = self.n_replayed = 0
        self.config = SimpleNamespace(vocab_size=N_VOCAB, name="toy")

    def new_sequence(self) -> Sequence:
        return Sequence.empty(self.pages)

    def forward(self, spans: Seq[Any], abort: Any = None) -> np.ndarray:
        for span in spans:
            span.reserve()
        if abort is not None and abort[0]:
            raise StepAborted
        rows: list[np.ndarray] = []
        for span in spans:
            rows += self._see(span)[len(span.tokens) - span.n_out :]
            span.sequence.append(len(span.tokens))
        self.n_computed += sum(len(span.tokens) for span in spans)
        return np.array(rows, np.float32).reshape(-1, N_VOCAB)

    def _see(self, span: Any) -> list[np.ndarray]:
        sequence, rows = span.sequence, []
        (state,) = states_of(sequence)
        numbers = np.zeros(N_STATE) if state.block is None else numbers_of(state.block).copy()
        for i in range(state.n_kept):
            numbers = moved(numbers, journal_of(state.journal)[i])
        self.n_replayed += state.n_kept
        n_certain = len(span.tokens) - span.n_guessed
        for i, token in enumerate(span.tokens):
            if i == n_certain:
                numbers_of(state.ahead.block)[:] = numbers
            if i >= n_certain:
                journal_of(state.ahead.journal)[i - n_certain] = token
            numbers = moved(numbers, token)
            rows.append(self._row(sequence, sequence.n_past + i, token, numbers))
        if n_certain == len(span.tokens):
            numbers_of(state.ahead.block)[:] = numbers
        return rows

    def _row(self, sequence: Sequence, n: int, token: int, numbers: np.ndarray) -> np.ndarray:
        values_at(sequence, n)[:] = token
        seen = sum(float(values_at(sequence, at)[0]) for at in (0, n // 2, n))
        return self._out @ np.append(numbers, np.cos(seen))


def moved(numbers: np.ndarray, token: float) -> np.ndarray:
    """A state, one token on."""
    return 0.9 * numbers + np.sin(float(token) * np.arange(1, N_STATE + 1))


def numbers_of(block: Block) -> np.ndarray:
    return block.data[:STATE_SIZE].view(np.float64)


def journal_of(block: Block | None) -> np.ndarray:
    """The tokens of a journal, a number each."""
    assert block is not None
    return block.data.view(np.float64)[:: STATES.token_nbytes // 8]


def values_at(sequence: Sequence, position: int) -> np.ndarray:
    """What a page holds of one position."""
    numbers = sequence.kv.pages[position // PAGE].data.view(np.float32)
    return numbers[PAGE * 16 :].reshape(PAGE, -1)[position % PAGE]
