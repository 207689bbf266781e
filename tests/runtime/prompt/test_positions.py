"""Cursors as offsets, and as lines and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.errors import RequestError
from halfbyte.prompt.positions import offset_at, offset_of

TEXT = "def f():\r\n\treturn é\n\nend"


@pytest.mark.parametrize(
    ("line", "column", "offset"),
    [(1, 1, 0), (1, 9, 8), (2, 1, 10), (2, 2, 11), (2, 10, 19), (3, 1, 20), (4, 4, 24)],
)
def test_a_line_and_a_column(line: int, column: int, offset: int) -> None:
    assert offset_of(TEXT, (line, column)) == offset == offset_at(TEXT, line, column)
    assert offset_of("\ufeff" + TEXT, [line, column]) == offset + 1  # as JSON has it


@given(st.text(st.sampled_from("ab\n\ré"), max_size=12), st.data())
def test_every_place_has_a_line_and_a_column(text: str, data: st.DataObject) -> None:
    """Counted by splitting, not by searching."""
    lines = text.replace("\r\n", "\0\n").replace("\r", "\n").split("\n")
    line = data.draw(st.integers(1, len(lines)))
    shown = lines[line - 1].rstrip("\0")
    column = data.draw(st.integers(1, len(shown) + 1))
    offset = offset_of(text, (line, column))
    assert offset == sum(len(one) + 1 for one in lines[: line - 1]) + column - 1
    with pytest.raises(RequestError, match="a column from 1 to"):
        offset_of(text, (line, len(shown) + 2))


@pytest.mark.parametrize("cursor", [0, 24, np.int64(3)])
def test_an_offset_is_itself(cursor: int) -> None:
    assert offset_of(TEXT, cursor) == cursor


@pytest.mark.parametrize(
    ("cursor", "expected"),
    [
        (25, "cursor: expected an offset from 0 to 24, the text's length, got 25"),
        (-1, "cursor: expected an offset from 0 to 24, the text's length, got -1"),
        ((5, 1), "cursor: expected a line of the text, which has 4 lines, got 5"),
        ((3, 2), "cursor: expected a column from 1 to 1, as line 3 of the text has 0 characters"),
        ((2, 11), "cursor: expected a column from 1 to 10, as line 2 of the text has 9 characters"),
    ],
)
def test_outside_of_the_text(cursor: Any, expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        offset_of(TEXT, cursor)
    assert str(caught.value).startswith(expected) and caught.value.param == "cursor"


@pytest.mark.parametrize(
    "cursor", [None, "3", 1.0, True, (1,), [1], (0, 1), (1, 0), (1, 2, 3), (1, "2")]
)
def test_no_places(cursor: Any) -> None:
    with pytest.raises(RequestError, match=r"an offset in characters, or \(line, column\)"):
        offset_of(TEXT, cursor)
