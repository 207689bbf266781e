"""A beginning that several requests have in common: computed once, whatever is remembered.

The first request computes it. The others wait until it has, then begin as forks; what they compute
themselves is their own. A request that lost its memory, or comes where there was none for a fork,
computes the beginning again, with the same bits.

Made in the caller's thread; the rest is the scheduler's.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from halfbyte.engine.sequence import Sequence
from halfbyte.errors import EngineError
from halfbyte.kernels.layouts.kv_pages import PAGE


class Member(Hashable, Protocol):
    """What a request is to those it shares with (generation/request.py)."""

    sequence: Sequence | None
    shared: Any
    n_told: int

    @property
    def n_computed(self) -> int:
        """How many of its ids are computed."""

    @property
    def needs_work(self) -> bool:
        """Whether it is to be computed at all."""


R = TypeVar("R", bound=Member)


class SharedPrompt(Generic[R]):
    """The first n_tokens ids of some requests, which are submitted together.

    Attributes:
        n_tokens: how many they share; below the length of each, whose last token gives logits.
        leader: who computes them; None once they are.
        sequence: the tokens, computed; None before, and once nobody needs it or memory is short.
    """

    def __init__(self, n_tokens: int, members: Iterable[R]) -> None:
        self.n_tokens = n_tokens
        self.sequence: Sequence | None = None
        self._unbegun = dict.fromkeys(members)  # in their order
        self._waiting: list[R] = []
        self.leader: R | None = next(iter(self._unbegun))
        for member in self._unbegun:
            member.shared = self
            if member is not self.leader:
                member.n_told = n_tokens  # progress tells of the beginning once

    @property
    def n_known(self) -> int:
        """Tokens that a member need not compute now."""
        return self.n_tokens if self.sequence is not None else 0

    def holds_back(self, request: R) -> bool:
        """Whether a newcomer is to wait; it is then among those that `next_up` gives."""
        if self.leader is None or request is self.leader:
            return False
        self._waiting.append(request)
        return True

    def grow(self, request: R) -> list[R]:
        """The leader, or another, has computed more; who need not wait any longer.

        Of a leader whose tokens are done, a fork is kept for the others.
        """
        if request is not self.leader or request.n_computed < self.n_tokens:
            return []
        self.leader, ready, self._waiting = None, self._waiting, []
        self._unbegun.pop(request, None)
        if self._unbegun and request.sequence is not None:
            self.sequence = _fork(request.sequence, self.n_tokens)
        return ready

    def begin(self, request: R) -> Sequence | None:
        """A sequence that goes on from the shared tokens; None where they are not to be had."""
        self._unbegun.pop(request, None)
        kept = self.sequence
        if not self._unbegun:
            self.sequence = None
        return None if kept is None else _fork(kept, self.n_tokens)

    def leave(self, request: R) -> list[R]:
        """A member is over; who is to go on in its place: a new leader, or what was given up."""
        self._unbegun.pop(request, None)
        if not self._unbegun:
            self.sequence = None
        if request is not self.leader:
            return []
        over = [member for member in self._waiting if not member.needs_work]
        self._waiting = [member for member in self._waiting if member.needs_work]
        self.leader = self._waiting.pop(0) if self._waiting else None
        return over if self.leader is None else [*over, self.leader]

    def forget(self) -> None:
        """Give up the memory: who has not begun computes the tokens."""
        self.sequence = None


def _fork(sequence: Sequence, n: int) -> Sequence | None:
    """The first n tokens of a sequence, or as many as there is memory for; None where none are."""
    for n_positions in (n, n - n % PAGE):
        try:
            return sequence.fork(n_positions)
        except (EngineError, MemoryError):
            continue
    return None
