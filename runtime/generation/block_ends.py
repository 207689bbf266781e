"""Ends of an answer that come of what code looks like: its indentation, its brackets.

Each takes an answer's text as it grows, and says where it ends and what of it has to wait. Nothing
here knows a language: see docs/sampling.md for what counts.
"""

from __future__ import annotations

import time
from typing import Protocol

from halfbyte.generation.completion import FinishReason

_TAB = 8
_OPENING, _CLOSING = "([{", ")]}"


class BlockEnd(Protocol):
    """One answer's.

    Attributes:
        held_from: the place in its text from which on nothing may be shown yet.
        reason: why the answer ends, where it ends there.
    """

    held_from: int
    reason: FinishReason

    def push(self, piece: str) -> int:
        """Take more text; the place in all of it where it ends, or -1."""

    def restart(self) -> None:
        """Forget all text."""


class IndentEnd:
    """Ends behind the last line before one that is indented by less than `n_columns`.

    Blank lines do not count, and neither does the rest of the line that the answer begins in. With
    None, the answer begins with a line of its own, and the first that is not blank says how many.
    """

    reason: FinishReason = "stop"

    def __init__(self, n_columns: int | None) -> None:
        self._given = n_columns
        self.restart()

    def restart(self) -> None:
        """As BlockEnd.restart."""
        self.held_from = self._n_read = 0
        self._least = self._given
        # Within a line's indentation; None behind it.
        self._column: int | None = 0 if self._given is None else None

    def push(self, piece: str) -> int:
        """As BlockEnd.push."""
        for char in piece:
            if char in "\r\n":
                self._column = 0
            elif char in " \t\f":
                if self._column is not None:
                    self._column += _TAB - self._column % _TAB if char == "\t" else 1
            else:
                if self._least is None:
                    self._least = self._column
                elif self._column is not None and self._column < self._least:
                    return self.held_from
                self._column = None
            self._n_read += 1
            if self._column is None:
                self.held_from = self._n_read
        return -1


class BracketEnd:
    """Ends where a bracket closes that the answer did not open: before it, or `behind` it.

    A bracket within a text in quotes does not count. Such a text ends with its line at the latest;
    an apostrophe behind a letter, a digit, `&` or `<` does not begin one.
    """

    reason: FinishReason = "stop"

    def __init__(self, *, behind: bool) -> None:
        self._behind = behind
        self.restart()

    def restart(self) -> None:
        """As BlockEnd.restart."""
        self.held_from = self._n_open = 0
        self._quote = self._before = ""

    def push(self, piece: str) -> int:
        """As BlockEnd.push."""
        for char in piece:
            self.held_from += 1
            if self._closes(char):
                return self.held_from - (0 if self._behind else 1)
            # A backslash that is itself escaped escapes nothing.
            self._before = "" if self._before == char == "\\" else char
        return -1

    def _closes(self, char: str) -> bool:
        if self._quote:
            if char == "\n" or (char == self._quote and self._before != "\\"):
                self._quote = ""
        elif char in "\"'`":
            if char != "'" or not (self._before.isalnum() or self._before in ("_", "&", "<")):
                self._quote = char
        elif char in _OPENING:
            self._n_open += 1
        elif char in _CLOSING:
            self._n_open -= 1
        return self._n_open < 0


class LateLineEnd:
    """Ends behind the first piece with an end of a line that comes `seconds` after the first one.

    A piece is what a token spells; a line's end has to have come before it.
    """

    reason: FinishReason = "time"

    def __init__(self, seconds: float) -> None:
        self._seconds, self._begun_s = seconds, 0.0
        self.restart()

    def restart(self) -> None:
        """As BlockEnd.restart; the time goes on."""
        self.held_from, self._has_line = 0, False

    def push(self, piece: str) -> int:
        """As BlockEnd.push."""
        self._begun_s = self._begun_s or time.monotonic()
        self.held_from += len(piece)
        if "\n" not in piece:
            return -1
        is_late = self._has_line and time.monotonic() - self._begun_s >= self._seconds
        self._has_line = True
        return self.held_from if is_late else -1


def indentation(text: str) -> int | None:
    """Columns by which the last line of a text is indented; a tab ends at a multiple of 8.

    None where the line is empty.
    """
    line = text[max(text.rfind("\n"), text.rfind("\r")) + 1 :]
    if not line:
        return None
    return len(line[: len(line) - len(line.lstrip(" \t\f"))].expandtabs(_TAB))
