"""Smallest changes: they make the new text, touch nothing else, and say where to go."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.prompt.edit.change import Change, change_of
from halfbyte.prompt.edit.text_view import TextView
from tests.runtime.prompt.edit.asked import BOMS, TEXTS


def applied(text: str, change: Change) -> str:
    return text[: change.start] + change.text + text[change.end :]


@settings(max_examples=100)
@given(BOMS, TEXTS, TEXTS, st.data())
def test_a_change_makes_the_new_text(bom: str, text: str, new: str, data: st.DataObject) -> None:
    """And leaves what stands before and behind the part as it is, ends of lines included."""
    original = bom + text
    view = TextView(original, data.draw(st.integers(0, len(original))))
    begin = data.draw(st.integers(0, len(view.text)))
    end = data.draw(st.integers(begin, len(view.text)))
    change = change_of(view, begin, view.text[begin:end], new)
    lf = new.replace("\r\n", "\n").replace("\r", "\n")
    whole = applied(original, change)
    assert TextView(whole, 0).text == view.text[:begin] + lf + view.text[end:]
    first, last = view.original_at(begin), view.original_at(end)
    if whole != original:
        assert first <= change.start <= change.end <= last
    assert whole.startswith(original[:first]) and whole.endswith(original[last:])


@settings(max_examples=100)
@given(TEXTS, TEXTS, st.data())
def test_a_cursor_leads_to_its_place_in_the_whole(text: str, new: str, data: st.DataObject) -> None:
    view = TextView(text, 0)
    begin = data.draw(st.integers(0, len(view.text)))
    end = data.draw(st.integers(begin, len(view.text)))
    lf = new.replace("\r\n", "\n").replace("\r", "\n")
    cursor = data.draw(st.integers(0, len(lf)))
    change = change_of(view, begin, view.text[begin:end], lf, cursor)
    whole = applied(text, change)
    if change.jump is None:
        assert whole == text and begin + cursor == view.cursor
    else:
        assert TextView(whole[: change.jump], 0).text == (view.text[:begin] + lf)[: begin + cursor]


@pytest.mark.parametrize(
    ("text", "new", "start", "end", "put"),
    [
        ("one\r\ntwo\r\nsix", "one\ntwo\nfour\nsix", 10, 10, "four\r\n"),
        ("one\r\ntwo\nsix\r\n", "one\ntwo\nfour\nsix\n", 9, 9, "four\r\n"),
        ("one\ntwo\n", "one\n2\n", 4, 7, "2"),
        ("aa", "aaa", 2, 2, "a"),
        ("abab", "ab", 2, 4, ""),
        ("", "x\n", 0, 0, "x\n"),
        ("a\rb\nc", "a\n\nc", 2, 3, "\r"),  # CR and LF stay two ends of lines
        ("a\nb\rc\n\n", "a\nb\n\n", 4, 6, "\r"),
    ],
)
def test_examples(text: str, new: str, start: int, end: int, put: str) -> None:
    change = change_of(TextView(text, 0), 0, TextView(text, 0).text, new)
    assert (change.start, change.end, change.text) == (start, end, put)


@pytest.mark.parametrize(
    ("cursor", "new", "jump"),
    [
        (0, "a = 2\nb = 1\n", None),  # the cursor's own line
        (0, "a = 1\nb = 2\n", 10),
        (8, "a = 2\nb = 1\n", 4),  # before it, too
        (0, "a = 1\nc\nb = 1\n", 6),
        (0, "a = 1\nb = 1\n", None),
    ],
)
def test_where_to_jump(cursor: int, new: str, jump: int | None) -> None:
    view = TextView("a = 1\nb = 1\n", cursor)
    assert change_of(view, 0, view.text, new).jump == jump


def test_a_jump_alone() -> None:
    view = TextView("a = 1\r\nb = 1\r\n", 1)
    assert change_of(view, 0, view.text, view.text, 8) == Change(1, 1, "", 9)
    assert change_of(view, 0, view.text, view.text, 1) == Change(1, 1, "")
