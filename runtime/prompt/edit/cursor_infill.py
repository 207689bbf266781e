"""The fallback for models that infill: what belongs at the cursor, as an insertion there.

Inside a line it is the rest of this line; where nothing follows in the line, of its paragraph.
"""

from __future__ import annotations

from typing import ClassVar

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit.edit_format import Layout
from halfbyte.prompt.edit.edit_request import EditRequest
from halfbyte.prompt.edit.text_view import TextView, with_lf
from halfbyte.prompt.infill import Repository

NAME = "fim"


@dataclass(frozen=True, slots=True)
class InsertionLayout(Layout):
    """Something that is wanted at the cursor; its prompt is made as any infilling prompt."""

    needs_end: ClassVar[bool] = False

    def read(self, answer: str) -> tuple[str, int | None]:
        """The insertion, as it was written."""
        return answer, None


def lay_out(request: EditRequest) -> InsertionLayout:
    """An insertion at the request's cursor."""
    return InsertionLayout(blocks=(), begin=request.view.cursor, old="", draft="")


def around(view: TextView) -> tuple[str, str]:
    """What stands before the cursor and after it."""
    return view.text[: view.cursor], view.text[view.cursor :]


def stop_texts(view: TextView) -> tuple[str, ...]:
    """What ends the insertion: the line's end, where something follows in it, else a blank line."""
    rest = view.text[view.cursor : view.end(view.cursor_line)]
    return ("\n",) if rest.strip() else ("\n\n",)


def repository_of(request: EditRequest) -> Repository | None:
    """The other files, as infilling prompts show them; parts of one file are joined."""
    files: dict[str, str] = {}
    for name, text in request.related:
        before = files.get(name, "")
        gap = "" if not before or before.endswith("\n") else "\n"
        files[name] = before + gap + with_lf(text)
    return Repository(files, current=request.path) if files else None
