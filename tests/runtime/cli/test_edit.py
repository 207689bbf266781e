"""halfbyte edit: the edit of a file as a diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halfbyte.cli.edit import diff_of
from halfbyte.generation.completion import Completion, Stats
from halfbyte.generation.edit import Edit

TEXT = "def add(a, b):\r\n    retu\r\n\r\nprint(add(1, 2))\r\n"
DONE = Completion(text="", tokens=[5], finish_reason="stop", stats=Stats(4, 0.5, 1, 0.5))


def edit(original: str, start: int, end: int, text: str) -> Edit:
    return Edit.of(DONE, text, start=start, end=end, jump=None, format="sweep", original=original)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_bytes(TEXT.encode())
    return path


def test_a_diff_that_patch_takes(run: Any, source: Path) -> None:
    outcome = run("edit", str(source), "--at", "2:9", "-n", "8")
    assert outcome.code == 0 and outcome.err.endswith(" | format fim\n")
    name = str(source).lstrip("/")
    header, target, hunk, *lines = outcome.out.split("\n")
    assert (header, target) == (f"--- a/{name}", f"+++ b/{name}") and hunk.startswith("@@ -1,4 ")
    assert lines[:2] == [" def add(a, b):\r", "-    retu\r"]
    assert lines[2].startswith("+    return") and lines[2].endswith("\r")
    assert source.read_bytes() == TEXT.encode()


def test_json(run: Any, source: Path) -> None:
    outcome = run("edit", str(source), "--at", "2:9", "-n", "8", "--json")
    told = json.loads(outcome.out)
    place = TEXT.index("retu") + 4
    assert (told["start"], told["end"], told["format"]) == (place, place, "fim")
    assert (told["jump"], told["is_empty"], told["left_out"]) == (None, False, [])
    assert told["text"].startswith("rn") and told["answer"] == told["text"].replace("\r", "")


def test_other_files_are_shown(run: Any, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.py"
    other.write_text("def subtract(a, b):\n    return a - b\n")
    how = ("edit", str(source), "--at", "2:9", "-n", "2", "--json")
    without, shown = (
        json.loads(run(*how, *more).out)["stats"]["n_prompt"]
        for more in ((), ("--repo-file", str(other)))
    )
    assert shown > without + 10


def test_no_edit(run: Any, source: Path) -> None:
    outcome = run("edit", str(source), "--at", "1:1", "-n", "0")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.endswith(" | format fim | no edit\n")


@pytest.mark.parametrize(
    ("how", "code", "text"),
    [
        (("--at", "9:1"), 1, "--at: expected a line of "),
        (("--at", "2:99"), 1, "--at: expected a column from 1 to 9"),
        (("--at", "2"), 2, "LINE:COL"),
        ((), 2, "--at"),
        (("--at", "1:1", "--stop", "x"), 2, "--stop"),
        (("--at", "1:1", "--format", "zeta"), 2, "invalid choice"),
        (("--at", "1:1", "--format", "sweep"), 1, "<|file_sep|>"),
        (("--at", "1:1", "--repo-file", "a", "--repo-file", "a"), 2, "twice"),
        (("--at", "1:1", "--repo-file", "missing"), 1, "a file that can be read"),
    ],
)
def test_wrong_command_lines(
    run: Any, source: Path, how: tuple[str, ...], code: int, text: str
) -> None:
    outcome = run("edit", str(source), *how)
    assert outcome.code == code and text in outcome.err and outcome.out == ""


def test_a_file_that_is_not_there(run: Any, tmp_path: Path) -> None:
    outcome = run("edit", str(tmp_path / "x.py"), "--at", "1:1")
    assert outcome.code == 1 and "FILE: expected a file that can be read" in outcome.err


@pytest.mark.parametrize(
    ("done", "lines"),
    [
        (edit("a\nb\n", 2, 3, "c"), ["@@ -1,2 +1,2 @@\n", " a\n", "-b\n", "+c\n"]),
        (
            edit("a\nb", 2, 3, "c\n"),
            ["@@ -1,2 +1,2 @@\n", " a\n", "-b\n\\ No newline at end of file\n", "+c\n"],
        ),
        (edit("", 0, 0, "x\u2028y\r\n"), ["@@ -0,0 +1 @@\n", "+x\u2028y\r\n"]),
        (edit("a\n", 1, 1, ""), []),
    ],
)
def test_diffs(done: Edit, lines: list[str]) -> None:
    header = ["--- a/src/a.py\n", "+++ b/src/a.py\n"] if lines else []
    assert list(diff_of("/src/a.py", done)) == [*header, *lines]
