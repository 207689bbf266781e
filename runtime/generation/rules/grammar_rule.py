"""A grammar as a rule: what an answer may not say is forbidden."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from halfbyte.constraints.matcher import Matcher
from halfbyte.errors import RequestError
from halfbyte.generation.sampler import F32, I64
from halfbyte.kernels.sampling.masks import allowed_of, forbid


class GrammarRule:
    """The last of a request's rules: none can allow again what it forbids.

    Args:
        matcher: where the answer, what was taken back of the prompt included, is in its grammar.
        ends: tokens that end it, allowed where it may end.

    Attributes:
        matcher: as given.
    """

    def __init__(self, matcher: Matcher, ends: Set[int]) -> None:
        self.matcher = matcher
        self._ends = np.array(sorted(ends), np.int64)
        self._end_ids = frozenset(ends)

    @property
    def is_complete(self) -> bool:
        """Whether the answer so far is whole."""
        return self.matcher.is_complete

    @property
    def is_over(self) -> bool:
        """Whether nothing may follow it."""
        return self.matcher.is_over

    @property
    def forced(self) -> int | None:
        """The token that has to come, whatever the model says."""
        return self.matcher.forced()

    def change(self, row: F32) -> None:
        """Forbid what cannot follow.

        Raises:
            RequestError: nothing can, or what can was forbidden before.
        """
        forced = self.matcher.forced()
        if forced is not None:
            kept = row[forced]
            row.fill(-np.inf)
            row[forced] = _possible(kept)
            return
        may_end = self.matcher.is_complete and len(self._ends) > 0
        ends = row[self._ends] if may_end else None
        forbid(row, self.matcher.allowed())
        if ends is not None:
            row[self._ends] = ends
        elif len(self._ends):
            row[self._ends] = -np.inf
        if row[row.argmax()] == -np.inf:
            raise self._nothing_left()

    def left(self, row: F32) -> tuple[I64, F32]:
        """What `change` would leave of a row (V,): the tokens, ascending, and their logits.

        It takes less than to change a row and to look for what is left.

        Raises:
            RequestError: as `change`.
        """
        forced = self.matcher.forced()
        if forced is not None:
            return np.array([forced]), np.array([_possible(row[forced])], np.float32)
        bits = self.matcher.allowed().copy()
        for token in self._end_ids:
            bits[token >> 3] &= ~(1 << (token & 7)) & 0xFF
            bits[token >> 3] |= self.matcher.is_complete << (token & 7)
        ids, logits = allowed_of(row, bits)
        if not len(ids):
            raise self._nothing_left()
        return ids, logits

    def _nothing_left(self) -> RequestError:
        return RequestError(
            self.matcher.grammar.kind, expected="a token that the call's other arguments allow",
            got="none where one has to follow",
        )  # fmt: skip

    def allows(self, token: int) -> bool:
        """Whether `change` would leave this token's logit as it is."""
        if token in self._end_ids:
            return self.matcher.is_complete
        return self.matcher.allows(token)

    def accept(self, token: int) -> None:
        """A token was taken; RequestError where it could not come."""
        self.matcher.accept(token)

    def rewind(self, n: int) -> None:
        """The last n tokens were taken back."""
        self.matcher.rewind(n)

    def n_possible(self, guesses: Sequence[int]) -> int:
        """How many of these guesses can come in a row."""
        return self.matcher.n_likely(guesses)

    def all_forced(self) -> list[int]:
        """All tokens that have to come next."""
        return self.matcher.all_forced()

    def accepts(self, text: str) -> bool:
        """Whether this whole text would be a whole answer."""
        return self.matcher.grammar.accepts(text)

    def fork(self) -> GrammarRule:
        """A rule for another answer with the same beginning."""
        return GrammarRule(self.matcher.copy(), self._end_ids)


def _possible(logit: np.float32) -> np.float32:
    """A forced token's: it comes even where others forbid it, as where nobody looks."""
    return logit if logit > -np.inf else np.float32(0.0)
