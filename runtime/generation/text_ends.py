"""What a caller asks of an answer's end, by what code around the cursor looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from halfbyte.call_arguments import is_whole, literal
from halfbyte.errors import RequestError
from halfbyte.generation.block_ends import (
    BlockEnd,
    BracketEnd,
    IndentEnd,
    LateLineEnd,
    indentation,
)
from halfbyte.generation.checked_values import real
from halfbyte.lazy_dataclass import dataclass

_MAX_COLUMNS = 10_000
_MAX_S = 1e9


@dataclass(frozen=True, slots=True)
class TextEnds:
    """Checked when made.

    Attributes:
        stop_indent: whether the answer ends before a line that is indented by less than the
            cursor's line, or by less than so many columns.
        stop_brackets: whether it ends where a bracket closes that it did not open: "before" it,
            which True means too, or "behind" it.
        line_time: seconds after the first token from which on it ends with its line, if it has a
            whole one already; None for no limit. The finish reason is "time".

    Raises:
        RequestError: a value of the wrong type or out of range; `param` names it.
    """

    stop_indent: bool | int = False
    stop_brackets: bool | str = False
    line_time: float | None = None

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[TextEnds, dict[str, Any]]:
        """The ends among a call's options, and the other options."""
        rest = dict(options)
        mine = {field.name: rest.pop(field.name) for field in fields(cls) if field.name in rest}
        return cls(**mine), rest

    def __post_init__(self) -> None:
        indent: object = self.stop_indent
        if not isinstance(indent, bool) and not (is_whole(indent) and 1 <= indent <= _MAX_COLUMNS):
            expected = f"True, False or columns from 1 to {_MAX_COLUMNS}"
            raise RequestError("stop_indent", expected=expected, got=literal(indent))
        where: object = self.stop_brackets
        is_place = isinstance(where, str) and where in ("before", "behind")
        if not (isinstance(where, bool) or is_place):
            expected = "True, False, 'before' or 'behind'"
            raise RequestError("stop_brackets", expected=expected, got=literal(where))
        if self.line_time is not None:
            object.__setattr__(self, "line_time", real("line_time", self.line_time, 0.0, _MAX_S))

    def check_unused(self, why: str = "only complete and infill have a cursor") -> None:
        """RequestError where one is asked for, in a call that has none."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not field.default:
                raise RequestError(field.name, expected=f"nothing: {why}", got=literal(value))

    def block_ends(self, before: str) -> list[BlockEnd]:
        """Those of one answer, new; `before` is the text before the cursor."""
        made: list[BlockEnd] = []
        if self.stop_indent is not False:
            is_cursors = self.stop_indent is True
            made.append(IndentEnd(indentation(before) if is_cursors else int(self.stop_indent)))
        if self.stop_brackets is not False:
            made.append(BracketEnd(behind=self.stop_brackets == "behind"))
        if self.line_time is not None:
            made.append(LateLineEnd(self.line_time))
        return made
