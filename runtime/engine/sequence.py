"""A sequence: how many tokens a model has seen of it, and what its layers keep of them.

What is kept belongs to the layers: attention has keys and values of every position (kv_cache.py),
which can be cut back to any of them; layers with a window, to the last ones. Layers that fold all
they have seen into one state cannot, but for what were guesses (recurrent_state.py), so whoever
wants to return to a position takes a snapshot there.
"""

from __future__ import annotations

from typing import Protocol

from halfbyte.engine.kv_cache import KVCache
from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.errors import EngineError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.process_bound import ProcessBound


class State(Protocol):
    """What layers of one kind keep of a sequence's first positions."""

    @property
    def first_cut(self) -> int:
        """The earliest position that it can be cut back to, beside the beginning; `fork` needs
        that too.
        """

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def reserve(self, n_positions: int, n_guessed: int = 0) -> None:
        """Have room for so many positions, of which the last ones are guesses.

        Raises:
            EngineError: there is no memory.
        """

    def advanced(self, n_new: int) -> State:
        """The state after so many positions more, which a step has filled in."""

    def cut(self, n_positions: int) -> State:
        """The state after the first positions, for the same sequence, which drops this one."""

    def fork(self, n_positions: int) -> State:
        """The state after the first positions, for another sequence; neither changes the other."""


class Sequence(ProcessBound):
    """The state of one sequence; positions 0 .. n_past - 1 are filled.

    What the layers keep of them are its states, of which `kv`, the first, is attention's.
    """

    @classmethod
    def empty(cls, pages: PagePool) -> Sequence:
        """One that has seen nothing; its memory is that pool's."""
        return cls(KVCache(pages), *([] if pages.states is None else [RecurrentState(pages)]))

    def __init__(self, kv: KVCache, *others: State, n_past: int = 0) -> None:
        # Positions and states change in one store: an interrupt finds the old ones or the new.
        self._now = (n_past, kv, (kv, *others))

    @property
    def n_past(self) -> int:
        """How many positions are filled."""
        return self._now[0]

    @property
    def kv(self) -> KVCache:
        """Keys and values."""
        return self._now[1]

    @property
    def states(self) -> tuple[State, ...]:
        """All that is kept, kind by kind."""
        return self._now[2]

    @property
    def nbytes(self) -> int:
        """Bytes of all states."""
        return sum(state.nbytes for state in self.states)

    @property
    def first_cut(self) -> int:
        """The earliest position that it can be cut back to, beside the beginning."""
        return min(max(state.first_cut for state in self.states), self.n_past)

    def reserve(self, n_new: int, n_guessed: int = 0) -> None:
        """Have room for so many tokens more, of which the last ones are guesses.

        Raises:
            EngineError: there is no memory for them.
        """
        self.kv.let_go(self.n_past)
        for state in self.states:
            state.reserve(self.n_past + n_new, n_guessed)

    def append(self, n_new: int) -> None:
        """Count tokens that a step has filled in."""
        n_past, kv, (_, *others) = self._now
        others = [state.advanced(n_new) for state in others]
        self._now = (n_past + n_new, kv, (kv, *others))

    def truncate(self, n_positions: int) -> None:
        """Forget the positions from n_positions on; a no-op where there are fewer.

        Raises:
            EngineError: a state cannot be cut back, or there is no memory for a copy of a page
                of which another sequence holds more. What was appended since others came to hold
                anything can always be cut back.
        """
        self._check_cut(n_positions, "cut back")
        n = min(n_positions, self.n_past)
        kv, others = self.kv.cut(n), [state.cut(n) for state in self.states[1:]]
        self._now = (n, kv, (kv, *others))

    def fork(self, n_positions: int) -> Sequence:
        """A sequence with the same first positions.

        Raises:
            EngineError: a state cannot be cut back to them, or there is no memory.
        """
        self._check_cut(n_positions, "forked before its end")
        n = min(n_positions, self.n_past)
        return Sequence(self.kv.fork(n), *(s.fork(n) for s in self.states[1:]), n_past=n)

    def snapshot(self) -> Snapshot:
        """The sequence as it is now; EngineError where there is no memory."""
        return Snapshot(self.fork(self.n_past))

    def restore(self, snapshot: Snapshot) -> None:
        """Become what the snapshot was; EngineError where there is no memory."""
        self._now = snapshot.sequence.fork(snapshot.sequence.n_past)._now

    def _check_cut(self, n_positions: int, what: str) -> None:
        if n_positions and n_positions < self.first_cut:
            raise EngineError(
                f"a sequence of this model cannot be {what}: at {n_positions}, it can be from "
                f"{self.first_cut} on",
                hint="take a snapshot where you want to return to",
            )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A sequence as it was, to be restored as often as wanted."""

    sequence: Sequence
