"""A sequence's states: what moves together, and what a state that cannot be cut back forbids."""

from __future__ import annotations

import pytest

from halfbyte.engine.kv_cache import KVCache
from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.sequence import Sequence
from halfbyte.errors import EngineError
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout

LAYOUT = KVLayout(n_layers=1, n_kv_heads=1, head_dim=16, kv_type="f16")


class Folded:
    """All that was seen, in one number."""

    def __init__(self, total: int = 0) -> None:
        self.total, self.nbytes, self.first_cut = total, 8, PAGE + 7

    def reserve(self, n_positions: int, n_guessed: int = 0) -> None:
        pass

    def advanced(self, n_new: int) -> Folded:
        return self

    def cut(self, n_positions: int) -> Folded:
        return self

    def fork(self, n_positions: int) -> Folded:
        return Folded(self.total)


def begun(*others: Folded) -> Sequence:
    sequence = Sequence(KVCache(PagePool(LAYOUT)), *others)
    sequence.reserve(PAGE + 7)
    sequence.append(PAGE + 7)
    return sequence


def test_appending_and_cutting() -> None:
    sequence = begun()
    assert (sequence.n_past, sequence.nbytes) == (PAGE + 7, 2 * LAYOUT.page_nbytes)
    sequence.truncate(PAGE + 8)
    assert sequence.n_past == PAGE + 7
    sequence.truncate(PAGE)
    assert (sequence.n_past, sequence.nbytes) == (PAGE, LAYOUT.page_nbytes)
    assert (begun().fork(9).n_past, begun().fork(5 * PAGE).n_past) == (9, PAGE + 7)


def test_reserved_pages_behind_the_end_go_with_a_cut() -> None:
    sequence = begun()
    sequence.reserve(3 * PAGE)
    sequence.truncate(PAGE + 7)
    assert sequence.nbytes == 2 * LAYOUT.page_nbytes


def test_a_snapshot_is_restored_as_often_as_wanted() -> None:
    folded = Folded(5)
    sequence = begun(folded)
    snapshot = sequence.snapshot()
    for _ in range(2):
        state = sequence.states[1]
        assert isinstance(state, Folded)
        state.total += 1
        sequence.reserve(1)
        sequence.append(1)
        sequence.restore(snapshot)
        assert sequence.n_past == PAGE + 7
        assert [s.total for s in sequence.states if isinstance(s, Folded)] == [5]
    assert sequence.kv is sequence.states[0]


def test_a_state_that_cannot_be_cut_back_is_an_error() -> None:
    sequence = begun(Folded())
    for cut in (sequence.truncate, sequence.fork):
        with pytest.raises(EngineError, match="snapshot"):
            cut(PAGE)
        assert sequence.n_past == PAGE + 7
    sequence.truncate(PAGE + 7)
    assert sequence.fork(PAGE + 7).n_past == PAGE + 7
