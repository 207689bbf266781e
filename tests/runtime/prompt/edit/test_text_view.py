"""Texts as they are shown, and the way back to the text itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.prompt.edit.text_view import TextView, n_common
from tests.runtime.prompt.edit.asked import BOMS, FEW, TEXTS


@FEW
@given(BOMS, TEXTS, st.data())
def test_offsets_lead_back(bom: str, text: str, data: st.DataObject) -> None:
    original = bom + text
    cursor = data.draw(st.integers(0, len(original)))
    view = TextView(original, cursor)
    # Against a slow twin: what is shown of the text before a place.
    assert view.text == text.replace("\r\n", "\n").replace("\r", "\n")
    for offset in range(len(view.text) + 1):
        at = view.original_at(offset)
        before, after = TextView(original[:at], 0).text, TextView("\ufeff" + original[at:], 0).text
        assert before == view.text[:offset] and after == view.text[offset:]
        assert not (original[:at].endswith("\r") and original[at:].startswith("\n"))
    shown = original[:cursor].removeprefix(bom).replace("\r\n", "\n").replace("\r", "\n")
    splits = original[:cursor].endswith("\r") and original[cursor:].startswith("\n")
    assert view.cursor == len(shown) - splits


@FEW
@given(TEXTS, st.data())
def test_lines(text: str, data: st.DataObject) -> None:
    view = TextView(text, data.draw(st.integers(0, len(text))))
    lines = view.text.split("\n")
    assert view.n_lines == len(lines)
    for i, line in enumerate(lines):
        assert view.between(i, i) == line
        for offset in range(view.begin(i), view.end(i) + 1):
            assert view.line_of(offset) == i
    assert view.between(0, len(lines) - 1) == view.text
    assert view.cursor_line == view.text[: view.cursor].count("\n")


@pytest.mark.parametrize(
    ("text", "offset", "newline"),
    [
        ("a\r\nb\nc", 0, "\r\n"), ("a\r\nb\nc", 1, "\r\n"), ("a\r\nb\nc", 2, "\n"),
        ("a\r\nb\nc", 4, "\n"), ("a\r\nb", 2, "\r\n"), ("a\rb", 0, "\r"), ("a\rb", 3, "\r"),
        ("ab", 1, "\n"), ("", 0, "\n"), ("\ufeffa\r\nb", 2, "\r\n"),
    ],
)  # fmt: skip
def test_new_lines_end_as_those_around_them(text: str, offset: int, newline: str) -> None:
    assert TextView(text, 0).newline_at(offset) == newline


def test_common_beginnings() -> None:
    assert [n_common(*pair) for pair in (("", "a"), ("ab", "abc"), ("xb", "ab"))] == [0, 2, 0]
    assert n_common(["a", "b"], ["a", "c"]) == 1
