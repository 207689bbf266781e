"""Sweep's prompts, written out as its card and the client cursortab.nvim lay them out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.prompt.edit.edit_request import Diagnostic, PastEdit
from halfbyte.prompt.edit.sweep import N_EDITS, lay_out
from tests.runtime.prompt.edit.asked import FEW, TEXTS, at, rendered

LINES = [f"line {i}" for i in range(1, 401)]


def test_the_whole_prompt() -> None:
    """Sources: sweepai/sweep-next-edit-v2-7B, "Prompt format"; cursortab.nvim, sweep.go."""
    asked = at(
        "def f(n):\n    retu‸rn n\n\nf(1)\n",
        "src/a.py",
        history=[PastEdit("src/b.py", "a.get(1)\r\n", "a.fetch(1)\n")],
        related={"lib.py": "x = 1", "util.py": "y = 2\r\n"},
        diagnostics=[Diagnostic("f is unused", 1, "ruff"), Diagnostic("no end")],
    )
    layout = lay_out(asked)
    assert rendered(layout) == (
        "<|file_sep|>src/a.py\n"
        "def f(n):\n    return n\n\nf(1)\n"
        "<|file_sep|>context/retrieval\n"
        "<|file_sep|>lib.py\nx = 1\n"
        "<|file_sep|>util.py\ny = 2\n\n"
        "<|file_sep|>context/diagnostics\n"
        "Line 1: [ruff] f is unused\nno end\n"
        "<|file_sep|>src/b.py.diff\noriginal:\na.get(1)\nupdated:\na.fetch(1)\n"
        "<|file_sep|>original/src/a.py:1:4\ndef f(n):\n    return n\n\nf(1)\n"
        "<|file_sep|>current/src/a.py:1:4\ndef f(n):\n    retu<|cursor|>rn n\n\nf(1)\n"
        "<|file_sep|>updated/src/a.py:1:4\ndef f(n):\n"
    )
    assert layout.draft == "    return n\n\nf(1)\n"


@pytest.mark.parametrize(
    ("history", "before"),
    [
        ([("m = 1\n", "n = 1\n")], "m = 1\n\ny = n\nz = n"),
        ([("m = 1\n", "k = 1\n"), ("k = 1\n", "n = 1\n")], "m = 1\n\ny = n\nz = n"),
        ([("y = m\nz = m\n", "y = n\nz = n\n")], "n = 1\n\ny = m\nz = m"),
        ([("", "n = 1\n\n")], "y = n\nz = n"),
        # With other lines around it; not in the window; nothing to be found by; a part of a line.
        ([("a\ny = m\nb\n", "a\ny = n\nb\n")], "n = 1\n\ny = m\nz = n"),
        ([("m = 1\n", "n = 1\n"), ("y = 5\n", "y = 6\n")], None),
        ([("gone\n", "")], None),
        ([("z = m\n", "= n\n")], None),
    ],
)
def test_the_first_window_is_that_before_past_changes(
    history: list[tuple[str, str]], before: str | None
) -> None:
    """Source: sweepai/sweep-next-edit-v2-7B, inference.py."""
    text = "n = 1\n\ny = n‸\nz = n\n"
    edits = [PastEdit("a", *edit) for edit in history]
    prompt = rendered(lay_out(at(text, "a", history=edits)))
    window = text.replace("‸", "").rstrip("\n")
    assert f"<|file_sep|>original/a:1:4\n{before or window}\n<|file_sep|>current" in prompt
    assert f"current/a:1:4\n{text.replace('‸', '<|cursor|>')}<|file_sep|>updated" in prompt
    others = [PastEdit("b", *edit) for edit in history]
    prompt = rendered(lay_out(at(text, "a", history=others)))
    assert f"<|file_sep|>original/a:1:4\n{window}\n<|file_sep|>current" in prompt


def test_windows_have_21_lines_and_the_file_300() -> None:
    text = "\n".join([*LINES[:200], "‸" + LINES[200], *LINES[201:]])
    layout = lay_out(at(text, "a"))
    prompt = rendered(layout)
    assert layout.old == "\n".join(LINES[190:211])
    assert prompt.startswith("<|file_sep|>a\nline 51\n") and "\nline 351\n<|file_sep|>ori" in prompt
    assert "<|file_sep|>original/a:191:211\nline 191\n" in prompt
    assert "\n<|cursor|>line 201\n" in prompt
    assert prompt.endswith("<|file_sep|>updated/a:191:211\n" + "\n".join(LINES[190:200]) + "\n")
    first = lay_out(at("‸" + "\n".join(LINES), "a"))
    assert first.old == "\n".join(LINES[:11]) and first.prefill == ""
    assert rendered(first).endswith("<|file_sep|>updated/a:1:11\n")


def test_the_line_after_the_last_end_counts_where_the_cursor_is() -> None:
    assert lay_out(at("a‸\nb\n")).old == "a\nb"
    assert lay_out(at("a\nb\n‸")).old == "a\nb\n"
    empty = lay_out(at("‸", "n.py"))
    assert rendered(empty) == (
        "<|file_sep|>original/n.py:1:1\n\n<|file_sep|>current/n.py:1:1\n<|cursor|>\n"
        "<|file_sep|>updated/n.py:1:1\n"
    )
    assert empty.read("x = 1\n") == ("x = 1", None)


def test_only_the_latest_edits_are_wanted() -> None:
    history = [PastEdit("a", f"{i}", f"{i}x") for i in range(N_EDITS + 3)]
    block = next(b for b in lay_out(at("‸", history=history)).blocks if b.what == "past edits")
    assert len(block.items) == N_EDITS and block.n_unwanted == 3
    assert block.items[0][1] == "a.diff\noriginal:\n3\nupdated:\n3x\n"


@pytest.mark.parametrize(
    ("asked", "answer", "new"),
    [
        ("a\n‸b\nc", "b\nc\n", "a\nb\nc"),
        ("a\n‸b\nc", "b\nc", "a\nb\nc"),
        ("a\n‸b\nc", "B\nc\n", "a\nB\nc"),
        ("a\n‸b\nc", "B\r\nc\r\n", "a\nB\nc"),
        ("a\n‸b\nc", "", "a\nb\nc"),
        ("a\n‸b\nc", " \n", "a\nb\nc"),
        ("a\n‸b\nc", "b", "a\nb"),  # the last line goes
        ("a\n‸b  \n\n‸c".replace("‸c", ""), "b\n", "a\nb  \n"),
        ("a\n‸b\n \n\n", "B", "a\nB\n \n"),  # blank lines at the end stay
        ("a\n    ‸", "    return\n", "a\n    return"),
        ("a\n\n‸\n\n", "x\ny\n\n", "a\n\nx\ny\n"),
    ],
)
def test_answers(asked: str, answer: str, new: str) -> None:
    layout = lay_out(at(asked))
    assert layout.read(answer) == (new, None)


@FEW
@given(TEXTS, TEXTS, TEXTS)
def test_a_rewritten_window_is_read_back(before: str, after: str, new: str) -> None:
    """White space at its end apart, which is the text's."""
    layout = lay_out(at(f"{before}‸{after}"))
    lf = new.replace("\r\n", "\n").replace("\r", "\n")
    read, cursor = layout.read(lf)
    assert cursor is None and read.startswith(layout.prefill)
    ours, old = read[len(layout.prefill) :], layout.old[len(layout.prefill) :]
    assert ours.rstrip(" \t\n") == (lf.rstrip(" \t\n") or old.rstrip(" \t\n"))
    assert ours.count("\n") - ours.rstrip(" \t\n").count("\n") == (
        old.count("\n") - old.rstrip(" \t\n").count("\n")
    )


@FEW
@given(st.sampled_from([0, 150, 399]), st.text("ab\n", max_size=5))
def test_answers_change_the_window_only(line: int, new: str) -> None:
    text = "\n".join([*LINES[:line], "‸" + LINES[line], *LINES[line + 1 :]])
    layout = lay_out(at(text))
    text = text.replace("‸", "")
    assert text[layout.begin :].startswith(layout.old) and layout.old.count("\n") <= 20
    assert layout.read(new)[0].startswith(layout.prefill)
