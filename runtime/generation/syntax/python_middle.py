"""A middle of Python as it grows: where its block is complete, and whether it can still parse.

The block is what the cursor's line belongs to. It is complete where a line begins further left than
its lines do, comments and blank lines aside, unless that goes on with a statement (`else`); at the
margin, where a blank line follows a statement, or a line at the margin a block. Where the cursor's
line has begun and the suffix goes on with its block, what is missing is the statement's rest, and
where there is something behind the cursor, what belongs there ends with a line. And all of it has
to parse.

Places are ends of lines. What is parsed for them has to be earned by the text that comes: so a long
scope is looked at every few lines, and checks never take more than a share of the time.
"""

from __future__ import annotations

import re

from halfbyte.generation.syntax.python_lines import (
    is_clause,
    is_code,
    lines_of,
    open_since,
    opens_block,
    whole_lines,
    width_of,
)
from halfbyte.generation.syntax.python_scope import PythonScope

_EARNED = 64  # characters that may be parsed for each that comes
_MOST_TRIES = 4  # places that are tried when the answer ends where it does not parse
_FIRST_WORD = re.compile(r"[ \t\f]*(?:\w+\W|[^\w\s])", re.S)
_LINE_END = re.compile(r"\r\n|\r(?!\Z)|\n")


class PythonMiddle:
    """Told of a middle's text from its beginning, as often as it grows.

    Attributes:
        end: where the block is complete; -1 as long as it is not.
        good: the last place where the whole parses; -1 where there is none.
        fill: what a text that ends at one of them ends with besides: the cursor's indentation,
            where the line after the middle has it before the cursor.
        is_hopeless: whether nothing that follows would make it parse.
    """

    def __init__(self, scope: PythonScope) -> None:
        self.end = self.good = -1
        self.is_hopeless = False
        self._scope = scope
        self._begun = scope.before[len(whole_lines(scope.before)) :]
        has_rest = bool(re.match(r"[ \t\f]*[^\s]", scope.after))
        is_blank = not self._begun.strip()
        self._ends_with_line = has_rest and not is_blank
        self.fill = self._begun if has_rest and is_blank else ""
        self._keeps_line_end = has_rest and is_blank
        self._rest = re.split(r"[\r\n]", scope.after, maxsplit=1)[0] if has_rest else ""
        self._width = -1 if is_blank else self._width_after(self._begun)
        opened = open_since(scope.before)
        if opened >= 0:
            self._width = width_of(scope.before[len(whole_lines(scope.before[:opened])) :])
        self._is_statement = not is_blank and _goes_on(scope.after, width_of(self._begun))
        self._line = self._credit = 0  # where the line begins that is not whole; see _EARNED
        self._places: list[int] = []  # ends of lines of code
        self._is_checked = self._is_after_blank = False
        self._last_width = 0 if is_blank else width_of(self._begun)

    def look(self, text: str) -> None:
        """The middle so far."""
        while self.end < 0 and not self.is_hopeless:
            found = _LINE_END.search(text, self._line)
            line = text[self._line : found.end() if found else len(text)]
            if self._line and not self._is_checked and (found or _FIRST_WORD.match(line)):
                self._is_checked = True
                if is_code(line):
                    self._begin_line(line, text)
                    if self.end >= 0:
                        return
            if found is None:
                return
            self._end_line(line, found.start(), found.end(), text)
            self._line, self._is_checked = found.end(), False

    def last_good(self, text: str) -> int:
        """The last place within a text at which the whole parses; -1 where there is none."""
        left = [place for place in self._places if self.good < place <= len(text)]
        for place in left[: -_MOST_TRIES - 1 : -1]:
            if self.takes(text[:place] + self.fill):
                self.good = place
                break
        return self.good

    def takes(self, text: str) -> bool:
        """Whether the whole parses with this middle."""
        return self._scope.takes(text)

    def _begin_line(self, line: str, text: str) -> None:
        """A line of code, not the first, whose first word is there."""
        width = width_of(line)
        if is_clause(line) and width < max(self._width, 1):
            self._width = width + 1
            return
        ends_block = width < self._width
        if self._width == 0 and width == 0:
            ends_block = self._is_after_blank or self._last_width > 0
        if self._is_statement and width <= self._width:
            ends_block = True
        if ends_block and self._places:
            self._credit -= self._cost(text)
            if self.takes(text[: self._places[-1]] + self.fill):
                self.good = self.end = self._places[-1]

    def _end_line(self, line: str, end: int, after: int, text: str) -> None:
        whole = self._begun + line if not self._line else line
        self._credit += _EARNED * len(line)
        if not is_code(whole):
            self._is_after_blank = self._is_after_blank or not whole.strip()
            return
        self._last_width = width_of(whole)
        self._is_after_blank = False
        if self._width < 0:
            self._width = self._last_width
        if not text[:end].strip():
            self._ends_with_line = False  # it has lines of its own
            return
        self._places.append(after if self._keeps_line_end else end)
        cost = self._cost(text)
        if self._credit < cost:
            return
        self._credit -= cost
        if self.takes(text[: self._places[-1]] + self.fill):
            self.good = self._places[-1]
            if self._ends_with_line:
                self.end = self.good
        elif self._ends_with_line and self._repeats_rest(text[:end]):
            self.good = self.end = end - len(self._rest)
        else:
            self._credit -= cost
            self.is_hopeless = not self._scope.can_go_on(text[:after])

    def _repeats_rest(self, text: str) -> bool:
        """Whether a line ends with what stands behind the cursor, and parses without it."""
        n = len(self._rest)
        return text.endswith(self._rest) and self.takes(text[:-n])

    def _width_after(self, begun: str) -> int:
        """The column of a block in which a cursor stands behind this beginning of a line."""
        width = width_of(begun)
        return width + 1 if opens_block(begun) and not self._ends_with_line else width

    def _cost(self, text: str) -> int:
        return len(self._scope.before) + len(text) + len(self._scope.after)


def _goes_on(after: str, width: int) -> bool:
    """Whether a suffix has more of the block whose lines begin at a column."""
    code = (line for line in lines_of(after)[1:] if is_code(line))
    line = next(code, None)
    return line is not None and width_of(line) >= width
