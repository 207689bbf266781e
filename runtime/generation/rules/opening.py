"""How an answer, or what follows its thoughts, has to begin."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from halfbyte.generation.rules.thoughts import Thoughts, keep_only
from halfbyte.generation.sampler import F32


class Opening:
    """A rule: these tokens come first; a model that thinks may do that before."""

    def __init__(
        self,
        ids: Sequence[int],
        *,
        before: Sequence[int] = (),
        thoughts: Thoughts | None = None,
        thought_id: int | None = None,
        after: Sequence[int] = (),
        ends: Set[int] = frozenset(),
    ) -> None:
        """For an answer at its beginning.

        Args:
            ids: what it begins with.
            before: what comes first of all, such as the beginning of a thought.
            thoughts: where it is; this rule tells it of the tokens. None where it does not think.
            thought_id: the token that begins a thought, if it is one.
            after: what stands between a thought and `ids`.
            ends: tokens that end an answer, which none may before it has begun like this.
        """
        self._due, self._before, self._thoughts = list(ids), list(before), thoughts
        self._thought_id, self._after = thought_id, list(after)
        self._is_begun, self._ends = False, sorted(ends)

    def change(self, row: F32) -> None:
        """Leave the next token of the beginning, or what begins a thought."""
        if self._before:
            keep_only(row, self._before[:1])
            return
        if not self._due:
            return
        if self._is_thinking:
            row[self._ends] = -np.inf
            return
        tokens = self._due[:1]
        if not self._is_begun and self._thoughts is not None and self._thought_id is not None:
            tokens = [*tokens, self._thought_id]
        keep_only(row, tokens)

    def accept(self, token: int) -> None:
        """One less is due, or the model thinks."""
        was_thinking = self._is_thinking
        if self._thoughts is not None:
            self._thoughts.take(token)
        self._is_begun = True
        if self._before:
            del self._before[0]
        elif was_thinking:
            if self._thoughts is not None and self._thoughts.is_cut:  # the call has begun
                self._due = []
            elif not self._is_thinking:
                self._due = [*self._after, *self._due]
        elif self._due and token == self._due[0]:
            del self._due[0]

    @property
    def _is_thinking(self) -> bool:
        return self._thoughts is not None and self._thoughts.is_within
