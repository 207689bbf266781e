"""Places in a text: an offset in characters, or a line and a column as editors count them."""

from __future__ import annotations

import re

from halfbyte.call_arguments import is_whole
from halfbyte.errors import RequestError

BOM = "\ufeff"
LINE_END = re.compile(r"\r\n|\r|\n")


def offset_of(text: str, cursor: object) -> int:
    """A cursor as an offset in characters.

    Args:
        text: the text it stands in.
        cursor: such an offset, up to the text's length, or line and column, see `offset_at`.

    Raises:
        RequestError: it is neither, or lies outside the text.
    """
    if isinstance(cursor, (tuple, list)) and len(cursor) == 2 and all(map(_is_count, cursor)):
        return offset_at(text, int(cursor[0]), int(cursor[1]))
    if not is_whole(cursor):
        expected = "an offset in characters, or (line, column), both from 1"
        raise RequestError("cursor", expected=expected, got=repr(cursor))
    if not 0 <= cursor <= len(text):
        expected = f"an offset from 0 to {len(text)}, the text's length"
        raise RequestError("cursor", expected=expected, got=int(cursor))
    return int(cursor)


def offset_at(
    text: str, line: int, column: int, *, param: str = "cursor", name: str = "the text"
) -> int:
    """The offset in characters of a line and a column.

    Args:
        text: its lines end with LF, CRLF or CR.
        line: from 1; after an end of line at the end of the text there is one more, empty line.
        column: from 1, in characters, of which a tab is one; the last one is where the line ends.
            A byte order mark at the beginning of the text has no column.
        param: the argument to blame.
        name: what the text is called, for the error.

    Raises:
        RequestError: the place lies outside the text.
    """
    ends = [(m.start(), m.end()) for m in LINE_END.finditer(text)]
    begins = [int(text.startswith(BOM)), *(after for _, after in ends)]
    if line > len(begins):
        has = _counted(len(begins), "line")
        raise RequestError(param, expected=f"a line of {name}, which has {has}", got=line)
    begin = begins[line - 1]
    end = ends[line - 1][0] if line <= len(ends) else len(text)
    if column > end - begin + 1:
        raise RequestError(
            param,
            expected=f"a column from 1 to {end - begin + 1}, as line {line} of {name} has "
            f"{_counted(end - begin, 'character')}",
            got=column,
        )
    return begin + column - 1


def _is_count(value: object) -> bool:
    return is_whole(value) and value >= 1


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
