"""So many tokens of thoughts: then what closes them comes, whatever the model would say."""

from __future__ import annotations

from collections.abc import Sequence

from halfbyte.generation.rules.thoughts import Thoughts, keep_only
from halfbyte.generation.sampler import F32
from halfbyte.tokenizer.detokenizer import StreamDetokenizer

_LONGEST = 3  # tokens that a character may still want when the budget is spent


class ThinkingBudget:
    """A rule. The texts around a thought, and those that close it, do not count."""

    def __init__(
        self,
        thoughts: Thoughts,
        detokenizer: StreamDetokenizer,
        n_most: int,
        closing: Sequence[int],
    ) -> None:
        """For an answer at its beginning.

        Args:
            thoughts: where it is; this rule tells it of the tokens.
            detokenizer: knows whether a character is complete.
            n_most: tokens of thoughts.
            closing: ids that end them.
        """
        self._thoughts, self._detokenizer = thoughts, detokenizer
        self._n_left, self._closing = n_most, list(closing)
        self._due: list[int] = []
        self._n_late = 0
        if thoughts.is_within and not n_most:
            self._due = self._closing

    def change(self, row: F32) -> None:
        """Leave nothing but the next token of what closes the thoughts, once it is due."""
        if self._due:
            keep_only(row, self._due[:1])

    def accept(self, token: int) -> None:
        """Count it."""
        if self._due:
            self._due = self._due[1:]
            if not self._due:
                self._thoughts.end()
            return
        was_within = self._thoughts.is_within
        self._thoughts.take(token)
        if not self._thoughts.is_within:
            return
        self._detokenizer.push(token)
        self._n_left -= was_within
        if self._n_left > 0:
            return
        if self._detokenizer.is_between and self._n_late < _LONGEST:
            self._n_late += 1
        else:
            self._due = self._closing
