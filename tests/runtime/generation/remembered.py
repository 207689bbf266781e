"""Sequences whose keys and values tell which tokens they are of, without a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import replace

import numpy as np

from halfbyte.engine.page_pool import Page, PagePool
from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.engine.sequence import Sequence
from halfbyte.engine.state_layout import StateLayout
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout, WindowedLayout

LAYOUT = KVLayout(n_layers=1, n_kv_heads=1, head_dim=16, kv_type="f32")
PAGE_SIZE, STATE_SIZE = LAYOUT.page_nbytes, 64
# A layer that sees all, and one with a window.
WINDOW = 200
WINDOWED = WindowedLayout.of(
    LAYOUT, LAYOUT, (False, True), window=WINDOW, kept=2 * PAGE + WINDOW, most=1 << 20
)

WITH_SINKS = replace(WINDOWED, n_sinks=4)

Place = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


STATES = StateLayout(layers={0: 0}, state_nbytes=STATE_SIZE, row_nbytes=64)


def empty(pool: PagePool) -> Sequence:
    """One that has seen nothing; it can be cut back anywhere, unless the pool has states."""
    return Sequence.empty(pool)


def pool_of_states() -> PagePool:
    """Of sequences that cannot."""
    return PagePool(LAYOUT, states=STATES)


def grow(sequence: Sequence, tokens: Seq[int]) -> Sequence:
    """Fill in tokens, as a step does."""
    sequence.reserve(len(tokens))
    given, begin = np.asarray(tokens, np.float32), sequence.n_past
    for pages in (sequence.kv.pages, sequence.kv.windowed):
        for new, at, keys, values in _places(pages, begin, begin + len(tokens)):
            keys[at // 16, :, at % 16] = given[new, None]
            values[at] = given[new, None]
    for state in states_of(sequence):
        state.ahead.block.data[:] = np.frombuffer(_folded(_seen(state), tokens), np.uint8)
    sequence.append(len(tokens))
    return sequence


def held(sequence: Sequence) -> list[int]:
    """The tokens whose keys and values are there; with a window, those that are seen next too."""
    out = _tokens(sequence.kv.pages, 0, sequence.n_past)
    layout, windowed = sequence.kv.layout, sequence.kv.windowed
    if isinstance(layout, WindowedLayout) and out:
        seen = layout.first_seen(sequence.n_past) * PAGE
        assert _tokens(windowed, seen, sequence.n_past) == out[seen:]
        gone = [i for i, page in enumerate(windowed) if page is None]
        begin = (max(gone) + 1 if gone else 0) * PAGE
        assert _tokens(windowed, begin, sequence.n_past) == out[begin:]
        assert _tokens(windowed, 0, min(layout.n_sinks, len(out))) == out[: layout.n_sinks]
    for state in states_of(sequence):
        assert _seen(state) == _folded(bytes(STATE_SIZE), out)
    return out


def _tokens(pages: Seq[Page | None], begin: int, end: int) -> list[int]:
    out: list[int] = []
    for _, at, keys, values in _places(pages, begin, end):
        tokens = values[at, :1]
        assert (values[at] == tokens).all() and (keys[at // 16, :, at % 16] == tokens).all()
        out += tokens[:, 0].astype(int).tolist()
    return out


def states_of(sequence: Sequence) -> list[RecurrentState]:
    """What cannot be cut back."""
    return [state for state in sequence.states if isinstance(state, RecurrentState)]


def _seen(state: RecurrentState) -> bytes:
    return bytes(STATE_SIZE) if state.block is None else state.block.data.tobytes()


def _folded(seen: bytes, tokens: Seq[int]) -> bytes:
    """All that was seen, in one value, token by token."""
    for token in tokens:
        seen = hashlib.blake2b(seen + token.to_bytes(4, "little"), digest_size=STATE_SIZE).digest()
    return seen


def n_common(a: Seq[int], b: Seq[int]) -> int:
    """How many first tokens are the same, one by one."""
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def _places(pages: Seq[Page | None], begin: int, end: int) -> Iterator[Place]:
    """By page: which of the positions from begin on, and their keys and values, see kv_pages.py."""
    if not pages:
        return
    for at in range(begin // PAGE * PAGE, end, PAGE):
        page = pages[at // PAGE]
        assert page is not None
        numbers = page.data.view(np.float32)
        keys, values = np.split(numbers, [PAGE * 16])
        where = np.arange(max(begin, at), min(end, at + PAGE))
        yield where - begin, where - at, keys.reshape(PAGE // 16, 16, 16), values.reshape(PAGE, 32)
