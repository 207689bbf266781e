"""What a caller says of an edit that is wanted: where, what was done before, what else there is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from halfbyte.call_arguments import check_flag, check_path, is_whole
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit.text_view import TextView
from halfbyte.prompt.positions import LINE_END, offset_of
from halfbyte.tokenizer.tokenizer import check_text

Cursor = int | tuple[int, int]
Related = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PastEdit:
    """Something that the user changed.

    Attributes:
        path: the file's name.
        old, new: what stood there, and what stands there now: the lines that changed, some more
            around them, or the whole file.
        line: the line at which `old` begins in its file, from 1.
        accepted: whether it was an edit that a model proposed.
    """

    path: str
    old: str
    new: str
    line: int = 1
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """What a compiler or a linter says of the text.

    Attributes:
        message: its words.
        line: the line that it is about, from 1, or None.
        source: who says it.
    """

    message: str
    line: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class EditRequest:
    """An edit that is wanted, checked.

    Attributes:
        path: the file's name.
        view: its text and the cursor.
        history: what was changed before, the latest last.
        related: names and texts of other files, the best last.
        diagnostics: as they were given.
    """

    path: str
    view: TextView
    history: tuple[PastEdit, ...] = ()
    related: tuple[tuple[str, str], ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def edit_request(
    path: str | os.PathLike[str],
    text: str,
    cursor: Cursor,
    *,
    history: Iterable[PastEdit] = (),
    related: Related = (),
    diagnostics: Iterable[Diagnostic] = (),
) -> EditRequest:
    """The arguments of `Model.edit`, checked.

    Raises:
        RequestError: a wrong type, a cursor outside the text, a name with an end of line.
        TokenizerError: lone surrogates.
    """
    name = _checked_name(check_path("path", path), "path")
    check_text(text, "text")
    pairs = related.items() if isinstance(related, Mapping) else related
    return EditRequest(
        path=name,
        view=TextView(text, offset_of(text, cursor)),
        history=tuple(_checked_edit(*one) for one in _each("history", history)),
        related=tuple(_checked_file(*one) for one in _each("related", pairs)),
        diagnostics=tuple(_checked_diagnostic(*one) for one in _each("diagnostics", diagnostics)),
    )


def _each(name: str, values: object) -> list[tuple[str, object]]:
    """The values, each with its name."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise RequestError(name, expected="a list", got=values)
    return [(f"{name}[{i}]", value) for i, value in enumerate(values)]


def _checked_edit(name: str, value: object) -> PastEdit:
    if not isinstance(value, PastEdit):
        raise RequestError(name, expected="a PastEdit", got=value)
    _checked_name(value.path, f"{name}.path")
    check_text(value.old, f"{name}.old")
    check_text(value.new, f"{name}.new")
    _check_line(value.line, f"{name}.line")
    check_flag(f"{name}.accepted", value.accepted)
    return value


def _checked_file(name: str, value: object) -> tuple[str, str]:
    if not isinstance(value, tuple) or len(value) != 2:
        raise RequestError(name, expected="a pair of a name and a text", got=value)
    _checked_name(value[0], name)
    check_text(value[1], name)
    return value


def _checked_diagnostic(name: str, value: object) -> Diagnostic:
    if not isinstance(value, Diagnostic):
        raise RequestError(name, expected="a Diagnostic", got=value)
    check_text(value.message, f"{name}.message")
    check_text(value.source, f"{name}.source")
    if value.line is not None:
        _check_line(value.line, f"{name}.line")
    return value


def _checked_name(path: str, name: str) -> str:
    """The name of a file, which stands in a line of its own."""
    check_text(path, name)
    if LINE_END.search(path):
        raise RequestError(name, expected="a name without ends of lines", got=repr(path))
    return path


def _check_line(line: object, name: str) -> None:
    if not is_whole(line) or line < 1:
        raise RequestError(name, expected="a line, from 1", got=repr(line))
