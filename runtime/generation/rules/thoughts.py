"""Where an answer is: before, within or after its thoughts, told token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from halfbyte.generation.sampler import F32


class Thoughts:
    """Looks for the texts between which a model thinks.

    Attributes:
        is_over: whether no thought goes on or may begin.
        is_within: whether one goes on.
        has_ended: whether the token that came last belongs to the end of one.
        is_cut: whether a call has ended it.
    """

    def __init__(
        self, text_of: Callable[[int], bytes], marks: tuple[str, str], *, is_within: bool,
        cuts: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """An answer at its beginning.

        Args:
            text_of: the bytes that a token stands for, those of control tokens too.
            marks: the texts that begin and end a thought.
            is_within: whether the prompt ended within one.
            cuts: texts that begin a call, and end a thought, too.
        """
        self._text_of, self._marks = text_of, tuple(mark.encode() for mark in marks)
        self._cuts = tuple(cut.encode() for cut in cuts)
        self.is_within, self.is_over, self.has_ended = is_within, False, False
        self.is_cut = False
        self._tail = b""

    def take(self, token: int) -> None:
        """A token came."""
        if self.is_over:
            return
        begin, end = self._marks
        self._tail += self._text_of(token)
        if not self.is_within:
            begun = self._tail.lstrip()
            self.is_within = begun.startswith(begin)
            self.is_over = not self.is_within and not begin.startswith(begun)
        elif end in self._tail:
            self.end()
        elif any(cut in self._tail for cut in self._cuts):
            self.is_within, self.is_over, self.is_cut = False, True, True
        else:
            self._tail = self._tail[-max(map(len, (end, *self._cuts))) :]

    def end(self) -> None:
        """The thought is over."""
        self.is_within, self.is_over, self.has_ended = False, True, True


def keep_only(row: F32, tokens: Sequence[int]) -> None:
    """Forbid all other tokens; of these, what was forbidden becomes possible where all are."""
    kept = row[list(tokens)]
    row[:] = -np.inf
    row[list(tokens)] = kept if np.isfinite(kept).any() else 0.0
