"""What follows an answer's thoughts, held to a grammar."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

import numpy as np

from halfbyte.constraints.matcher import Matcher
from halfbyte.generation.rules.grammar_rule import GrammarRule
from halfbyte.generation.rules.thoughts import Thoughts, keep_only
from halfbyte.generation.sampler import F32


class AfterThoughts:
    """A rule: thoughts are free, and all the rest, the whole where there are none, is in a grammar.

    Args:
        make: a matcher for the rest.
        ends: tokens that end the answer.
        thoughts: where it is; this rule tells it of the tokens. None where it does not think.
        thought_id: the token that begins a thought, where one may still begin.
        after: what stands between a thought and the rest.
        before: what comes first of all, such as the beginning of a thought.
    """

    def __init__(
        self,
        make: Callable[[], Matcher],
        ends: Set[int],
        *,
        thoughts: Thoughts | None = None,
        thought_id: int | None = None,
        after: Sequence[int] = (),
        before: Sequence[int] = (),
    ) -> None:
        self._grammar = GrammarRule(make(), ends)
        self._ends, self._thoughts = sorted(ends), thoughts
        self._thought_id, self._after = thought_id, after
        self._due = list(before)

    def change(self, row: F32) -> None:
        """Forbid what the grammar does; within a thought, that the answer ends there."""
        if self._is_thinking:
            row[self._ends] = -np.inf
        elif self._due:
            keep_only(row, self._due[:1])
        elif self._grammar.is_over and self._ends:
            keep_only(row, self._ends)
        else:
            begin = None if self._thought_id is None else row[self._thought_id]
            self._grammar.change(row)
            if begin is not None:
                row[self._thought_id] = begin

    def accept(self, token: int) -> None:
        """Follow it."""
        was_thinking = self._is_thinking
        if self._thoughts is not None:
            self._thoughts.take(token)
        self._thought_id = None
        if self._thoughts is not None and self._thoughts.is_cut and was_thinking:
            self._grammar.accept(token)  # the beginning of a call
        elif was_thinking and not self._is_thinking:
            self._due = list(self._after)
        elif self._due:
            del self._due[0]
        elif not (was_thinking or self._is_thinking):
            self._grammar.accept(token)

    @property
    def _is_thinking(self) -> bool:
        return self._thoughts is not None and self._thoughts.is_within
