"""Zeta 2's prompts, as Zed's own tests have them (crate zeta_prompt, V0211SeedCoder)."""

from __future__ import annotations

import pytest
from hypothesis import given

from halfbyte.prompt.edit import zeta_2
from halfbyte.prompt.edit.edit_request import EditRequest, PastEdit
from halfbyte.prompt.edit.seed_coder import Region
from halfbyte.prompt.edit.zeta_2 import Zeta2Layout
from tests.runtime.prompt.edit.asked import FEW, TEXTS, at, rendered


def lay_out(asked: EditRequest, first: int, last: int) -> Zeta2Layout:
    """With these lines to change, and the whole text shown."""
    return zeta_2.lay_out(asked, Region(first, last, 0, asked.view.n_lines - 1))


def test_the_basic_format() -> None:
    """Zed's test_seed_coder_basic_format; its event has no lines of a header."""
    asked = at(
        "prefix\nedi‸table\nsuffix",
        history=[PastEdit("a.rs", "old\n", "new\n")],
        related={"related.rs": "fn helper() {}\n"},
    )
    layout = lay_out(asked, 1, 1)
    assert rendered(layout).replace("@@ -1,1 +1,1 @@\n", "") == (
        "<[fim-suffix]>\n"
        "suffix\n"
        "<[fim-prefix]><filename>related.rs\n"
        "fn helper() {}\n"
        "\n"
        "<filename>edit_history\n"
        "--- a/a.rs\n"
        "+++ b/a.rs\n"
        "-old\n"
        "+new\n"
        "\n"
        "<filename>test.rs\n"
        "prefix\n"
        "<<<<<<< CURRENT\n"
        "edi<|user_cursor|>table\n"
        "=======\n"
        "<[fim-middle]>"
    )
    assert (layout.old, layout.draft) == ("editable", "editable\n")


def test_without_context() -> None:
    """Zed's test_seed_coder_no_context, and one file beside another."""
    assert rendered(lay_out(at("before\nmid‸dle\nafter"), 1, 1)) == (
        "<[fim-suffix]>\nafter\n<[fim-prefix]><filename>test.rs\nbefore\n<<<<<<< CURRENT\n"
        "mid<|user_cursor|>dle\n=======\n<[fim-middle]>"
    )
    asked = at("co‸de", related={"low_prio.rs": "low prio\n", "high_prio.rs": "high prio"})
    assert rendered(lay_out(asked, 0, 0)) == (
        "<[fim-suffix]>\n<[fim-prefix]><filename>low_prio.rs\nlow prio\n<filename>high_prio.rs\n"
        "high prio\n\n<filename>test.rs\n<<<<<<< CURRENT\nco<|user_cursor|>de\n=======\n"
        "<[fim-middle]>"
    )


@pytest.mark.parametrize(
    ("answer", "new", "cursor"),
    [
        ("a\nb\n", "a\nb", None),
        ("a\nb", "a\nb", None),
        ("", "a\nb", None),
        (" \n", "a\nb", None),
        ("A\r\nb\r\n", "A\nb", None),
        ("A<|user_cursor|>\nb\n", "A\nb", 1),
        ("A\nb\n<|user_cursor|>", "A\nb", 3),
        ("a\n\n", "a\n", None),
        ("b\n", "b", None),
    ],
)
def test_answers(answer: str, new: str, cursor: int | None) -> None:
    assert zeta_2.lay_out(at("a\n‸b")).read(answer) == (new, cursor)


def test_a_part_that_ends_with_a_blank_line() -> None:
    layout = lay_out(at("a‸\n\nb"), 0, 1)
    assert (layout.old, layout.draft) == ("a\n", "a\n")
    assert "\na<|user_cursor|>\n=======" in rendered(layout)
    assert layout.read("a\n") == ("a\n", None) and layout.read("A\n") == ("A\n", None)


@FEW
@given(TEXTS, TEXTS, TEXTS)
def test_a_rewritten_part_is_read_back(before: str, after: str, new: str) -> None:
    layout = zeta_2.lay_out(at(f"{before}‸{after}"))
    lf = new.replace("\r\n", "\n").replace("\r", "\n")
    read, _ = layout.read(lf if layout.old.endswith("\n") else lf + "\n")
    assert read == (lf if lf.strip() else layout.old)
