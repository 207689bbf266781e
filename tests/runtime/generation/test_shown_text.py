"""What of an answer is shown while it grows, and what its end repeats of the suffix."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.generation.block_ends import BracketEnd, IndentEnd, LateLineEnd
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


def test_a_banned_text_is_never_shown() -> None:
    shown = ShownText(["STOP"], banned=["delete", "dull"])
    assert not shown.push("a; ") and shown.text == "a; "
    assert not shown.push(" (d") and shown.text == "a; "  # with all of the piece it begins in
    assert not shown.push("el") and shown.n_taken_back == 0
    assert not shown.push("ete x") and shown.n_taken_back == 3
    assert not shown.push(" du") and shown.text == "a; "
    assert not shown.push("ck") and shown.text == "a;  duck"
    assert shown.push("dSTOPdelete") and shown.text == "a;  duckd"
    shown = ShownText(["delet"], banned=["delete"])
    assert shown.push("delete") and shown.text == ""  # it ends before that


def test_what_stands_before_a_step_back_may_begin_it_again() -> None:
    shown = ShownText(banned=["abac"])
    for piece in "abab":
        assert not shown.push(piece) and shown.text == ""
    assert not shown.push("ac") and shown.n_taken_back == 3
    assert not shown.push("ac") and shown.n_taken_back == 3
    assert not shown.push("d") and shown.text == "d"


def kept(pieces: list[str], banned: list[str]) -> list[str]:
    """Pieces before the one in which the first banned text begins."""
    text = "".join(pieces)
    at = min((text.find(ban) for ban in banned if ban in text), default=-1)
    if at < 0:
        return pieces
    begins = [len("".join(pieces[:i])) for i in range(len(pieces))]
    return pieces[: max(i for i, begin in enumerate(begins) if begin <= at)]


PIECES = st.lists(st.sampled_from(["a", "b", "ab", "ba", ""]), max_size=14)
BANNED = st.lists(st.text("ab", min_size=2, max_size=5), min_size=1, max_size=3)


@settings(max_examples=500)
@given(PIECES, BANNED)
def test_banned_texts_as_if_each_had_been_looked_for(pieces: list[str], banned: list[str]) -> None:
    """What is shown stays, and is all that nothing can take back."""
    begun = [ban[:i] for ban in banned for i in range(1, len(ban))]
    shown, before, stay = ShownText(banned=banned), "", list[str]()
    for piece in pieces:
        assert not shown.push(piece)
        stay, n_before = kept([*stay, piece], banned), len(stay) + 1
        text = "".join(stay)
        assert shown.n_taken_back == n_before - len(stay)
        assert shown.text.startswith(before) and text.startswith(shown.text)
        if not shown.n_taken_back and not text.endswith(tuple(begun)):
            assert shown.text == text
        before = shown.text
    shown.finish()
    assert shown.text == "".join(stay)


def test_what_is_banned_and_blocks() -> None:
    """What was taken back opens no bracket and begins no line."""
    shown = ShownText(banned=["(x"], block_ends=[BracketEnd(behind=False), IndentEnd(4)])
    assert not shown.push("a") and not shown.push("(") and not shown.push("x")
    assert shown.n_taken_back == 2 and shown.text == "a"
    assert not shown.push("\n") and not shown.push("  ") and shown.text == "a"
    assert shown.push("b)") and shown.text == "a"


def test_a_text_is_cut_where_a_block_ends() -> None:
    shown = ShownText(["X"], block_ends=[BracketEnd(behind=True)], suffix="")
    assert not shown.push("f(a) ") and shown.text == "f(a) "
    assert shown.push("+ b) + X") and shown.text == "f(a) + b)"
    shown = ShownText(["X"], block_ends=[IndentEnd(2)])
    assert not shown.push("a\n") and shown.text == "a"
    assert shown.push("  bX\nc") and shown.text == "a\n  b"
    shown.finish()
    assert shown.text == "a\n  b"


def test_it_says_what_ended_it() -> None:
    def ended(*pieces: str) -> tuple[str, str, str]:
        shown = ShownText(["EN", "END", "X"], block_ends=[LateLineEnd(0.0)])
        assert [shown.push(piece) for piece in pieces][-1]
        return shown.text, shown.ended_by, shown.stop_text

    assert ended("aE", "N") == ("a", "stop", "EN")
    assert ended("a\n", "b\n") == ("a\nb\n", "time", "")
    assert ended("a\n", "bX\n") == ("a\nb", "stop", "X")  # what comes first
