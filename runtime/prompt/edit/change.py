"""The smallest change from one text to another, and where the user goes for it."""

from __future__ import annotations

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit.text_view import TextView, n_common, with_lf


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a text, in the text's own offsets.

    Attributes:
        start, end: what is replaced.
        text: what stands there instead.
        jump: where the user goes next, an offset in the changed text; None: stays there.
    """

    start: int
    end: int
    text: str
    jump: int | None = None


def no_change(view: TextView) -> Change:
    """Nothing, at the cursor."""
    return Change(view.original_cursor, view.original_cursor, "")


def change_of(view: TextView, begin: int, old: str, new: str, cursor: int | None = None) -> Change:
    """What makes `new` of the text's part `old`, ends of lines as they are there.

    Args:
        view: the text.
        begin: where `old` begins in it.
        old: a part of the text, as it is shown.
        new: what takes its place.
        cursor: where in `new` the user goes next; None: to the first line that changes, if it is
            not the cursor's.
    """
    new = with_lf(new)
    n_head = n_common(old, new)
    n_tail = n_common(old[n_head:][::-1], new[n_head:][::-1])
    start, end = begin + n_head, begin + len(old) - n_tail
    is_empty = start == end and n_head + n_tail == len(new)
    if is_empty and (cursor is None or begin + cursor == view.cursor):
        return no_change(view)
    first, last = view.original_at(start), view.original_at(end)
    if is_empty:
        first = last = view.original_cursor
    newline = view.newline_at(start)
    text = new[n_head : len(new) - n_tail].replace("\n", newline)
    n_before, n_behind = (0, 0) if is_empty else _n_apart(view.original, first, last, text)
    text = "\r" * n_before + text + "\r" * n_behind
    if cursor is None:
        jump = None if view.line_of(start) == view.cursor_line else first
    elif cursor <= n_head:
        jump = view.original_at(begin + cursor)
    elif cursor <= len(new) - n_tail:
        jump = first + n_before + len(new[n_head:cursor].replace("\n", newline))
    else:
        after = view.original_at(begin + len(old) - (len(new) - cursor))
        jump = after + len(text) - (last - first)
    return Change(first, last, text, jump)


def _n_apart(original: str, first: int, last: int, text: str) -> tuple[int, int]:
    """How many CRs more a change needs before and behind, so that no CR and LF become one CRLF.

    A text of several kinds of lines may have a CR just before what is replaced, or an LF just
    behind it. Beside another CR the two ends of lines stay two.
    """
    is_before_lf = original.startswith("\n", last)
    n_behind = int(text.endswith("\r") and is_before_lf)
    is_lf_next = text.startswith("\n") if text else is_before_lf
    return int(original.endswith("\r", 0, first) and is_lf_next), n_behind
