"""Where one answer is in its grammar: which tokens may come, which one has to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import RequestError

_TOO_COMPLEX = ("LexerTooComplex", "ParserTooComplex")
# An ambiguous grammar takes longer with each token, and everybody waits: most take far below 1 ms.
_FREE_S, _MOST_S = 0.01, 1.0  # of the processor: of a call, and of all calls beyond that
_FEW = 8  # tokens that are looked at together, before it is known what that takes
_TOO_MANY = ("Too many items", "Current row has")  # errors that come without a reason of theirs


class Compiled(Protocol):
    """What a matcher follows: a Grammar."""

    kind: str
    n_vocab: int

    def take_back(self, state: Any) -> None:
        """A matcher is not needed any more; from any thread."""

    def accepts(self, text: str) -> bool:
        """Whether a whole text meets it."""


class Matcher:
    """Follows the tokens of one answer. Not for several threads at a time.

    Attributes:
        grammar: what the answer has to belong to.
    """

    def __init__(self, grammar: Compiled, state: Any) -> None:
        self.grammar, self._state = grammar, state
        # Whole words for the kernel; llguidance has one more token, its own end.
        self._bits = np.zeros((grammar.n_vocab + 64) // 64, np.uint64)
        self._address = self._bits.ctypes.data
        self._has_bits = False
        self._forced: list[int] | None = None  # tokens that have to come, the next one first
        self._spent_s = 0.0

    def __del__(self) -> None:
        # What it learned of the grammar's states spares the next answer's first masks.
        self.grammar.take_back(self._state)

    @property
    def is_complete(self) -> bool:
        """Whether the answer may end here."""
        return bool(self._state.is_accepting())

    @property
    def is_over(self) -> bool:
        """Whether it has to: nothing may follow."""
        return bool(self._state.is_stopped())

    def allowed(self) -> NDArray[np.uint8]:
        """The tokens that may come, a bit each, the lowest bit of a byte first.

        Raises:
            RequestError: none can, or finding out takes more than it may.
        """
        if not self._has_bits:
            n_bytes, begin_s = (self.grammar.n_vocab + 32) // 32 * 4, time.thread_time()
            self._state.unsafe_compute_mask_ptr(self._address, n_bytes)
            self._check()
            self._spend(begin_s)
            self._has_bits = True
        return self._bits.view(np.uint8)

    def forced(self) -> int | None:
        """The token that has to come, where the grammar leaves one way to go on.

        A text can mostly be cut into tokens in many ways; this is the vocabulary's own.
        """
        if self._forced is None:
            self._forced = [] if self.is_over else self._state.compute_ff_tokens()[::-1]
            self._check()
        return self._forced[-1] if self._forced else None

    def all_forced(self) -> list[int]:
        """All tokens that have to come next, in order."""
        self.forced()
        return self._forced[::-1] if self._forced else []

    def allowed_after(self, tokens: Sequence[int]) -> NDArray[np.bool_]:
        """Which tokens (V,) may come after these, which can come themselves."""
        ahead = self.copy()
        for token in tokens:
            ahead.accept(token)
        bits = np.unpackbits(ahead.allowed(), bitorder="little")
        return bits[: self.grammar.n_vocab].astype(np.bool_)

    def allows(self, token: int) -> bool:
        """Whether this token may come, which costs less than knowing all of them."""
        forced = self.forced()
        return self.n_possible([token]) == 1 if forced is None else token == forced

    def n_possible(self, tokens: Sequence[int]) -> int:
        """How many of these can come in a row."""
        begin_s = time.thread_time()
        n = int(self._state.validate_tokens(list(tokens)))
        self._spend(begin_s)
        return n

    def n_likely(self, tokens: Sequence[int]) -> int:
        """The same; where finding out takes long, as many as were seen till then."""
        n = 0
        while True:
            n_seen = min(max(_FEW, 2 * n), len(tokens))
            begin_s = time.thread_time()
            n = int(self._state.validate_tokens(list(tokens[:n_seen])))
            if self._spend(begin_s) or n < n_seen or n_seen == len(tokens):
                return n

    def accept(self, token: int) -> None:
        """A token was taken; RequestError where it could not come."""
        self._has_bits = False
        if self._forced and self._forced[-1] == token:
            self._forced.pop()
        if not self._forced:
            self._forced = None
        begin_s = time.thread_time()
        if not self._state.consume_token(token):
            raise self._error()
        self._spend(begin_s)

    def rewind(self, n: int) -> None:
        """The last n tokens were taken back; RequestError where that cannot be."""
        self._has_bits, self._forced = False, None
        if not self._state.rollback(n):
            raise self._error()

    def copy(self) -> Matcher:
        """Another one at the same place."""
        made = Matcher(self.grammar, self._state.deep_copy())
        made._forced = None if self._forced is None else list(self._forced)
        made._spent_s = self._spent_s
        return made

    def _spend(self, begin_s: float) -> bool:
        """Whether a call took long; RequestError where all did."""
        over_s = time.thread_time() - begin_s - _FREE_S
        if over_s <= 0:
            return False
        self._spent_s += over_s
        if self._spent_s > _MOST_S:
            raise _too_complex(self.grammar.kind)
        return True

    def _check(self) -> None:
        if self._state.is_error():
            raise self._error()

    def _error(self) -> RequestError:
        kind = self.grammar.kind
        error = self._state.get_error()
        is_bounded = any(text in error for text in _TOO_MANY)
        if is_bounded or self._state.stop_reason() in _TOO_COMPLEX:
            return _too_complex(kind)
        expected = "what the vocabulary's tokens can spell"
        return RequestError(kind, expected=expected, got="a place where no token can follow")


def _too_complex(kind: str) -> RequestError:
    expected = "what can be followed in bounded time and memory"
    return RequestError(kind, expected=expected, got="something more complex")
