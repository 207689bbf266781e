"""Where code ends by its indentation or brackets, by hand; in whatever pieces it comes."""

from __future__ import annotations

import pytest

from halfbyte.generation import block_ends
from halfbyte.generation.block_ends import (
    BlockEnd,
    BracketEnd,
    IndentEnd,
    LateLineEnd,
    indentation,
)


def cut(end: BlockEnd, text: str, n: int) -> str | None:
    """What is left of a text that comes in pieces of n; None where it does not end."""
    end.restart()
    for i in range(0, len(text), n):
        at = end.push(text[i : i + n])
        if at >= 0:
            return text[:at]
        assert end.held_from <= i + n
    return None


def check(end: BlockEnd, text: str, want: str | None) -> None:
    for n in (1, 2, 3, len(text)):
        assert cut(end, text, n) == want


@pytest.mark.parametrize(
    ("columns", "text", "want"),
    [
        (4, "x = 1\n    y = 2\n\n  \nz", "x = 1\n    y = 2"),
        (4, "x = 1\n    y\n", None),
        (4, "\n\nx", ""),
        (4, "\n     x\r\n   y", "\n     x"),
        (4, "\n\tx\n  y", "\n\tx"),
        (8, "\n  \tx\n       y", "\n  \tx"),
        (0, "x\ny\n", None),
        (1, "a b  \nc", "a b  "),
        (None, "    x\n      y\n    z\n  w", "    x\n      y\n    z"),
        (None, "\n  \n\tx\n       y", "\n  \n\tx"),
        (None, "x\ny\n  z\n", None),
    ],
)  # fmt: skip
def test_indentation_below(columns: int | None, text: str, want: str | None) -> None:
    check(IndentEnd(columns), text, want)


def test_ends_of_lines_are_held() -> None:
    end = IndentEnd(4)
    assert end.push("x \n   ") == -1 and end.held_from == 2
    assert end.push(" y") == -1 and end.held_from == 8


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a, b(c)[d]) + 1", "a, b(c)[d]"),
        ("f({x})", None),
        ("}", ""),
        ("x = '(' + \")\" ) y", "x = '(' + \")\" "),
        (r"'\')' ) y", r"'\')' "),
        (r"'\\') y", r"'\\'"),
        ("# don't (x) y'z) w", "# don't (x) y'z"),
        ("f<'a>(x: &'a str) {", None),
        ("'open (\n) y", "'open (\n"),
        ("`a ) b`) y", "`a ) b`"),
        ('"""a (b\nc"""\n) y', '"""a (b\nc"""\n'),
    ],
)
def test_brackets(text: str, want: str | None) -> None:
    check(BracketEnd(behind=False), text, want)
    longer = None if want is None else text[: len(want) + 1]
    check(BracketEnd(behind=True), text, longer)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", None),
        ("a\n", None),
        ("x", 0),
        ("  x\n    y = (", 4),
        ("a\n\t", 8),
        ("a\r  b", 2),
        ("a\n  \tb", 8),
    ],
)
def test_the_cursors_line(text: str, columns: int | None) -> None:
    assert indentation(text) == columns


def test_a_late_line_ends_with_its_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(block_ends.time, "monotonic", lambda: now)
    end = LateLineEnd(2.0)
    assert end.push("a = 1") == -1  # its time begins
    now = 102.5
    assert end.push("\n") == -1  # late, but the first end of a line
    assert end.push("b") == -1
    assert end.push(" = 2\n    ") == len("a = 1\nb = 2\n    ") and end.reason == "time"
    end = LateLineEnd(2.0)
    now = 200.0
    assert end.push("a\n") == -1 and end.push("b\n") == -1  # in time
    now = 202.0
    assert end.push("c\n") == len("a\nb\nc\n")
