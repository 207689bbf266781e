"""Sequences whose keys and values tell which tokens they are of, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq

import numpy as np

from halfbyte.engine.kv_cache import KVCache
from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.sequence import Sequence
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout

LAYOUT = KVLayout(n_layers=1, n_kv_heads=1, head_dim=16, kv_type="f32")
PAGE_SIZE = LAYOUT.page_nbytes

Place = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Folded:
    """All that was seen, in one value: a state that cannot be cut back."""

    can_truncate = False
    nbytes = 100

    def __init__(self, seen: tuple[int, ...] = ()) -> None:
        self.seen = seen

    @property
    def first_cut(self) -> int:
        return len(self.seen)

    def reserve(self, n_positions: int, n_guessed: int = 0) -> None:
        pass

    def advanced(self, n_new: int) -> Folded:
        return self

    def cut(self, n_positions: int) -> Folded:
        assert n_positions == len(self.seen)
        return self

    def fork(self, n_positions: int) -> Folded:
        assert n_positions == len(self.seen)
        return Folded(self.seen)


def empty(pool: PagePool) -> Sequence:
    """A sequence that can be cut back anywhere."""
    return Sequence(KVCache(pool))


def empty_folded(pool: PagePool) -> Sequence:
    """One that cannot."""
    return Sequence(KVCache(pool), Folded())


def grow(sequence: Sequence, tokens: Seq[int]) -> Sequence:
    """Fill in tokens, as a step does."""
    sequence.reserve(len(tokens))
    given = np.asarray(tokens, np.float32)
    for new, at, keys, values in _pages(sequence, sequence.n_past, sequence.n_past + len(tokens)):
        keys[at // 16, :, at % 16] = given[new, None]
        values[at] = given[new, None]
    sequence.append(len(tokens))
    for state in sequence.states[1:]:
        assert isinstance(state, Folded)
        state.seen += tuple(tokens)
    return sequence


def held(sequence: Sequence) -> list[int]:
    """The tokens whose keys and values are there."""
    out: list[int] = []
    for _, at, keys, values in _pages(sequence, 0, sequence.n_past):
        tokens = values[at, :1]
        assert (values[at] == tokens).all() and (keys[at // 16, :, at % 16] == tokens).all()
        out += tokens[:, 0].astype(int).tolist()
    for state in sequence.states[1:]:
        assert isinstance(state, Folded)
        assert list(state.seen) == out
    return out


def n_common(a: Seq[int], b: Seq[int]) -> int:
    """How many first tokens are the same, one by one."""
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def _pages(sequence: Sequence, begin: int, end: int) -> Iterator[Place]:
    """By page: which of the positions from begin on, and their keys and values, see kv_pages.py."""
    for at in range(begin // PAGE * PAGE, end, PAGE):
        numbers = sequence.kv.pages[at // PAGE].data.view(np.float32)
        keys, values = np.split(numbers, [PAGE * 16])
        where = np.arange(max(begin, at), min(end, at + PAGE))
        yield where - begin, where - at, keys.reshape(PAGE // 16, 16, 16), values.reshape(PAGE, 32)
