"""A text as models are shown it: LF at every end of line, and no byte order mark.

Offsets are led back to the text itself, so that an edit leaves the ends of lines that it does not
touch as they are, CRLF and mixed ones too.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import takewhile

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.positions import BOM, LINE_END

_CRLF = re.compile(r"\r\n")


def with_lf(text: str) -> str:
    """The text with LF at every end of line."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def n_common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many lines, or characters, at the beginning of both are the same."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    return sum(1 for _ in same)


@dataclass(frozen=True)
class TextView:
    """A text and a place in it.

    Attributes:
        original: the text as it is.
        original_cursor: the place, in characters.
    """

    original: str
    original_cursor: int

    @cached_property
    def text(self) -> str:
        """The text as it is shown; all other offsets and lines count in this one."""
        return with_lf(self.original[self._n_bom :])

    @cached_property
    def cursor(self) -> int:
        """The place in it."""
        cursor = max(self.original_cursor - self._n_bom, 0)
        return cursor - bisect_left(self._crlfs, cursor)

    @cached_property
    def cursor_line(self) -> int:
        """The line that it stands in, from 0."""
        return self.line_of(self.cursor)

    @property
    def n_lines(self) -> int:
        """Lines, an empty one after an end of line at the text's end included."""
        return len(self._begins)

    def line_of(self, offset: int) -> int:
        """The line of an offset, from 0."""
        return bisect_right(self._begins, offset) - 1

    def begin(self, line: int) -> int:
        """Where a line begins."""
        return self._begins[line]

    def end(self, line: int) -> int:
        """Where it ends, before its end of line."""
        return self._begins[line + 1] - 1 if line + 1 < len(self._begins) else len(self.text)

    def between(self, first: int, last: int) -> str:
        """The lines from first to last, without the last one's end of line."""
        return self.text[self.begin(first) : self.end(last)]

    def original_at(self, offset: int) -> int:
        """The offset in the text as it is; never between CR and LF."""
        return offset + bisect_left(self._shown_crlfs, offset) + self._n_bom

    def newline_at(self, offset: int) -> str:
        """How lines end there: that line, else the one before, else LF."""
        at = self.original_at(offset)
        found = LINE_END.search(self.original, at)
        if found is None:
            line = self.line_of(offset)
            begin = self.original_at(self.end(line - 1)) if line else at
            found = LINE_END.match(self.original, begin)
        return found[0] if found else "\n"

    @cached_property
    def _n_bom(self) -> int:
        return int(self.original.startswith(BOM))

    @cached_property
    def _begins(self) -> list[int]:
        return [0, *(found.end() for found in re.finditer("\n", self.text))]

    @cached_property
    def _crlfs(self) -> list[int]:
        """Where each CRLF begins, in the text as it is less a byte order mark."""
        return [m.start() - self._n_bom for m in _CRLF.finditer(self.original, self._n_bom)]

    @cached_property
    def _shown_crlfs(self) -> list[int]:
        return [at - i for i, at in enumerate(self._crlfs)]
