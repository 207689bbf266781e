"""What of an answer is shown while it grows, and what its end repeats of the suffix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.generation.shown_text import ShownText, n_repeated


def grown(pieces: list[str], **how: object) -> ShownText:
    shown = ShownText(**how)  # type: ignore[arg-type]
    for piece in pieces:
        if shown.push(piece):
            return shown
    shown.finish()
    return shown


@pytest.mark.parametrize(
    ("text", "suffix", "kept"),
    [
        ("a + b)", ")\nx", "a + b"),  # closes what the text did not open
        ("f(a)", ")\nx", "f(a)"),
        ("f(a))", ")\n", "f(a)"),
        ("x;\n}", "\n}\n", "x;"),
        ("if (y) {\n}", "\n}\n", "if (y) {\n}"),
        ("a\n    return b", "\n    return b\n", "a"),  # a whole line
        ("a\n    return b\n", "\n    return b\n", "a"),
        ("a\n    return", "\n    return b\n", "a\n    return"),  # not a line
        ("rn x", "n x\n", "r"),
        ("a\nb\nc", "\nb\nc\nd", "a"),  # as many lines as there are
        ("a\n", "\nb", "a\n"),  # blank
        ("a\r\nb", "\r\nb\r\n", "a"),
        ("ab", "", "ab"),
        ("ab", "ab", ""),
        ("a, b", ", b", "a"),
        ("a b c", "c b\n", "a b c"),
    ],
)
def test_what_repeats_the_suffix(text: str, suffix: str, kept: str) -> None:
    assert text[: len(text) - n_repeated(text, suffix)] == kept
    shown = grown(list(text), suffix=suffix)
    assert (shown.text, shown.trimmed) == (kept, text[len(kept) :])


WORDS = st.lists(st.sampled_from(["a", "b", "\n", "  ", ")", "(", "STOP", "ST"]), max_size=12)


@given(WORDS, WORDS.map("".join), st.booleans())
def test_what_is_shown_is_never_taken_back(pieces: list[str], suffix: str, is_line: bool) -> None:
    """And nothing but the end is cut; in one piece it is the same."""
    shown, before, ended = ShownText(["STOP"], suffix=suffix, is_line=is_line), "", False
    for piece in pieces:
        ended = shown.push(piece)
        assert shown.text.startswith(before)
        before = shown.text
        if ended:
            break
    if not ended:
        shown.finish()
    assert shown.text.startswith(before)
    whole = grown(["".join(pieces)], stops=["STOP"], suffix=suffix, is_line=is_line)
    assert (shown.text, shown.trimmed) == (whole.text, whole.trimmed)
    assert "".join(pieces).startswith(shown.text + shown.trimmed)
    assert n_repeated(shown.text + shown.trimmed, suffix) == len(shown.trimmed)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["a", "b\nc"], "ab"),
        (["\n", "  ", "a", "\r\n", "b"], "\n  a"),  # its first line that is not blank
        (["\n\n", "a\n"], "\n\na"),
        (["  \n", "  "], "  \n  "),
        (["a"], "a"),
    ],
)
def test_a_single_line(pieces: list[str], text: str) -> None:
    assert grown(pieces, is_line=True).text == text
    assert grown(pieces).text == "".join(pieces)
