"""What past edits changed, as lines and as diffs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.prompt.edit import hunks
from halfbyte.prompt.edit.edit_request import PastEdit
from halfbyte.prompt.edit.hunks import N_CONTEXT, hunks_of
from tests.runtime.prompt.edit.asked import FEW, TEXTS

LINES = st.lists(st.sampled_from(["a", "b", "", "  x", "é"]), max_size=30)


def test_a_small_edit_is_shown_whole() -> None:
    (hunk,) = hunks_of(PastEdit("a.rs", "old\n", "new\n"))
    assert (hunk.old, hunk.new) == (("old",), ("new",))
    assert hunk.diff == "@@ -1,1 +1,1 @@\n-old\n+new\n"


def test_of_a_file_the_places_are_shown() -> None:
    old = [str(i) for i in range(40)]
    new = [*old[:10], "ten", *old[11:30], *old[31:]]
    first, second = hunks_of(PastEdit("a", "\n".join(old), "\n".join(new), line=5))
    assert first.old == tuple(old[7:14]) and first.new == (*old[7:10], "ten", *old[11:14])
    assert first.diff.splitlines()[0] == "@@ -12,7 +12,7 @@"
    assert second.old == tuple(old[27:34]) and second.new == (*old[27:30], *old[31:34])
    assert second.diff.splitlines()[0] == "@@ -32,7 +32,6 @@"


def patched(old: list[str], edit: PastEdit) -> list[str]:
    """What the diffs make of the old lines; each has to name the lines where it belongs."""
    done, at = [], 0
    for hunk in hunks_of(edit):
        header, *lines = hunk.diff.split("\n")[:-1]
        found = re.fullmatch(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@", header)
        assert found is not None
        i, m, j, n = map(int, found.groups())
        done += old[at : i - edit.line]
        removed = [line[1:] for line in lines if line[0] in "- "]
        added = [line[1:] for line in lines if line[0] in "+ "]
        assert removed == old[i - edit.line :][:m] == list(hunk.old) and added == list(hunk.new)
        assert (len(done), len(added)) == (j - edit.line, n)
        done, at = done + added, i - edit.line + m
    return done + old[at:]


@FEW
@given(LINES, LINES, st.integers(1, 99))
def test_diffs_lead_from_old_to_new(old: list[str], new: list[str], line: int) -> None:
    edit = PastEdit("a", *("".join(f"{x}\n" for x in one) for one in (old, new)), line=line)
    assert patched(old, edit) == new


@FEW
@given(LINES, LINES)
def test_three_lines_are_shown_around_a_change(old: list[str], new: list[str]) -> None:
    edit = PastEdit("a", *("".join(f"{x}\n" for x in one) for one in (old, new)))
    for hunk in hunks_of(edit):
        lines = hunk.diff.split("\n")[1:-1]
        same = [len(run) for run in re.findall(r" +", "".join(line[0] for line in lines))]
        ends = [lines[0][0], lines[-1][0]]
        assert "-" in "".join(line[0] for line in lines) or "+" in "".join(x[0] for x in lines)
        assert all(n <= 2 * N_CONTEXT for n in same)
        assert all(same[i] <= N_CONTEXT for i, end in zip((0, -1), ends, strict=True) if end == " ")


@FEW
@given(TEXTS, TEXTS)
def test_ends_of_lines_may_be_mixed(old: str, new: str) -> None:
    for hunk in hunks_of(PastEdit("a", old, new)):
        assert "\r" not in hunk.diff + "".join(hunk.old) + "".join(hunk.new)
    lf = [text.replace("\r\n", "\n").replace("\r", "\n") for text in (old, new)]
    assert list(hunks_of(PastEdit("a", old, new))) == list(hunks_of(PastEdit("a", *lf)))


def test_what_only_ends_otherwise_did_not_change() -> None:
    assert list(hunks_of(PastEdit("a", "a\r\nb\r\n", "a\nb\n"))) == []
    assert list(hunks_of(PastEdit("a", "", ""))) == []


def test_large_rewrites_are_one_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose lines are not compared in pairs."""
    monkeypatch.setattr(hunks, "SequenceMatcher", None)
    old, new = [f"a{i}" for i in range(3000)], [f"b{i}" for i in range(2000)]
    text = ["same", *old, "end"], ["same", *new, "end"]
    (hunk,) = hunks_of(PastEdit("a", *("\n".join(lines) for lines in text)))
    assert hunk.old == tuple(text[0]) and hunk.new == tuple(text[1])
