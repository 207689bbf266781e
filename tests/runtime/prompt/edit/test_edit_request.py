"""What a caller says of an edit, and what is refused of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest

from halfbyte.errors import RequestError, TokenizerError
from halfbyte.prompt.edit.edit_request import Diagnostic, PastEdit, edit_request


def test_everything_arrives() -> None:
    past, said = PastEdit("b.py", "a\r\n", "b\n", line=3), Diagnostic("bad", 2, "ruff")

    def files() -> Iterator[tuple[str, str]]:
        yield ("c.py", "x")

    made = edit_request(
        PurePosixPath("d/a.py"), "ab\n", (1, 2),
        history=iter([past]), related=files(), diagnostics=(said,),
    )  # fmt: skip
    assert (made.path, made.view.original, made.view.original_cursor) == ("d/a.py", "ab\n", 1)
    assert made.history == (past,) and made.diagnostics == (said,)
    assert made.related == (("c.py", "x"),)
    assert edit_request("a", "", 0, related={"c.py": "x"}).related == (("c.py", "x"),)


@pytest.mark.parametrize(
    ("how", "param"),
    [
        ({"path": ""}, "path"),
        ({"path": 3}, "path"),
        ({"path": "a\nb"}, "path"),
        ({"text": b"x"}, "text"),
        ({"cursor": 99}, "cursor"),
        ({"history": "ab"}, "history"),
        ({"history": 3}, "history"),
        ({"history": ["ab"]}, "history[0]"),
        ({"history": [PastEdit("a", "", ""), PastEdit("a\n", "", "")]}, "history[1].path"),
        ({"history": [PastEdit("a", 3, "")]}, "history[0].old"),
        ({"history": [PastEdit("a", "", None)]}, "history[0].new"),
        ({"history": [PastEdit("a", "", "", line=0)]}, "history[0].line"),
        ({"history": [PastEdit("a", "", "", accepted="no")]}, "history[0].accepted"),
        ({"related": 3}, "related"),
        ({"related": ["ab"]}, "related[0]"),
        ({"related": {"a": 3}}, "related[0]"),
        ({"related": {"a\r": "x"}}, "related[0]"),
        ({"diagnostics": {}}, "diagnostics"),
        ({"diagnostics": ["x"]}, "diagnostics[0]"),
        ({"diagnostics": [Diagnostic(3)]}, "diagnostics[0].message"),
        ({"diagnostics": [Diagnostic("x", True)]}, "diagnostics[0].line"),
        ({"diagnostics": [Diagnostic("x", source=3)]}, "diagnostics[0].source"),
    ],
)
def test_what_is_refused(how: dict[str, Any], param: str) -> None:
    given = {"path": "a.py", "text": "x = 1\n", "cursor": 0, **how}
    with pytest.raises(RequestError) as caught:
        edit_request(**given)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "how",
    [
        {"text": "\ud800"},
        {"path": "\udce9"},
        {"history": [PastEdit("a", "\ud800", "")]},
        {"related": {"a": "\ud800"}},
        {"diagnostics": [Diagnostic("\ud800")]},
    ],
)
def test_lone_surrogates(how: dict[str, Any]) -> None:
    with pytest.raises(TokenizerError, match="lone surrogate"):
        edit_request(**{"path": "a.py", "text": "x", "cursor": 0, **how})
