"""Text that steers a terminal reaches neither errors nor JSON raw."""

from __future__ import annotations

import json
import unicodedata

import pytest

from halfbyte.errors import HalfbyteError, ModelFileError, RequestError
from halfbyte.printable import printable, printable_json

TITLE = "\x1b]0;owned\x07"  # sets a terminal's title


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (TITLE, r"\x1b]0;owned\x07"),
        ("a\x9b2Jb\x7f", r"a\x9b2Jb\x7f"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2066x\u2069\u200f", r"\u2066x\u2069\u200f"),
        ("a\ud800", r"a\ud800"),
        ("over\rwritten\0", r"over\rwritten\0"),
        ("tab\tand\nline: é 🙂‍↕ עברית", "tab\tand\nline: é 🙂‍↕ עברית"),
    ],
)
def test_what_steers_is_an_escape(text: str, safe: str) -> None:
    assert printable(text) == safe


def test_nothing_that_steers_is_left() -> None:
    """Unicode's own tables say what controls, and what turns the direction."""
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    for number in range(0x110000):
        character = chr(number)
        if character in "\n\t":
            continue
        is_control = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        if is_control or unicodedata.bidirectional(character) in turning:
            assert printable(character).isprintable(), f"U+{number:04X}"


def test_json_says_the_same() -> None:
    value = {"a\x9b": f"{TITLE}\u202e\x7fé\ud800", "n": [1.5, None]}
    text = printable_json(json.dumps(value, ensure_ascii=False))
    assert text.isprintable()
    assert json.loads(text) == value


@pytest.mark.parametrize(
    "error",
    [
        HalfbyteError(TITLE, hint=TITLE),
        ModelFileError("x.gguf", TITLE, expected=TITLE, got=TITLE),
        RequestError("model", expected="a name", got="\u202e" + TITLE),
        RequestError("stop", got=[TITLE]),
    ],
)
def test_errors_are_printable(error: HalfbyteError) -> None:
    assert str(error).isprintable() and "owned" in str(error)


def test_errors_are_bounded_and_their_fields_whole() -> None:
    name = "n" * 100_000
    for error in (
        HalfbyteError(name, hint=name),
        ModelFileError(name, name, expected=name, got=name, hint=name),
        RequestError("model", expected=name, got=name.encode(), hint=name),
    ):
        assert len(str(error)) < 3_700
        assert error.hint in ("", name)
    assert ModelFileError("a", name, got=name).got == name
    assert "(100000 characters)" in str(ModelFileError("a", name))
