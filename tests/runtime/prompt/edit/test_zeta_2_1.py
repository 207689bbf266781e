"""Zeta 2.1's prompts and answers, as Zed's crate zeta_prompt has them (V0318SeedMultiRegions)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.prompt.edit import zeta_2_1
from halfbyte.prompt.edit.edit_format import UnreadableAnswerError
from halfbyte.prompt.edit.edit_request import PastEdit
from halfbyte.prompt.edit.marker_blocks import block_ends
from halfbyte.prompt.edit.seed_coder import Region
from tests.runtime.prompt.edit.asked import FEW, TEXTS, at, rendered

TWO = "".join(f"a{i}\n" for i in range(6)) + "\n" + "".join(f"b{i}\n" for i in range(6)) + "end"


def test_the_format() -> None:
    """The cursor's file as in Zed's test of V0608, which has it from V0318; the rest as V0211."""
    asked = at(
        "prefix\nedi‸table\nsuffix",
        history=[PastEdit("a.rs", "old\n", "new\n")],
        related={"related.rs": "fn helper() {}\n"},
    )
    layout = zeta_2_1.lay_out(asked, Region(1, 1, 0, 2))
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
        "<|marker_1|>edi<|user_cursor|>table<|marker_2|>\n"
        "<[fim-middle]>"
    )
    assert layout.draft == "<|marker_1|>editable<|marker_2|>"


def test_markers_stand_between_blocks_and_the_cursor_in_one() -> None:
    first, second = TWO[: TWO.index("b0")], TWO[TWO.index("b0") :]
    place = TWO.index("b0")
    layout = zeta_2_1.lay_out(at(f"{first}‸{second}"))
    assert layout.old == TWO and block_ends(TWO) == [0, place, len(TWO)]
    assert rendered(layout).endswith(
        f"<|marker_1|>{first}<|user_cursor|><|marker_2|>{second}<|marker_3|>\n<[fim-middle]>"
    )
    assert layout.draft == f"<|marker_1|>{first}<|marker_2|>{second}<|marker_3|>"
    inside = zeta_2_1.lay_out(at(TWO.replace("b3", "b‸3")))
    assert rendered(inside).count("<|user_cursor|>") == 1
    assert "<|marker_2|>b0\nb1\nb2\nb<|user_cursor|>3\n" in rendered(inside)


@pytest.mark.parametrize(
    ("answer", "new", "cursor"),
    [
        ("<|marker_1|>A\n<|marker_2|>", "A\n" + TWO[TWO.index("b0") :], None),
        ("<|marker_2|>B<|user_cursor|>\n<|marker_3|>", TWO[: TWO.index("b0")] + "B\n", 20),
        ("<|marker_1|>A\n<|marker_2|>B<|marker_3|>", "A\nB", None),
        ("<|marker_1|>A\n<|marker_3|>", "A\n", None),
        ("<|marker_2|><|marker_3|>", TWO[: TWO.index("b0")], None),
        ("<|marker_2|><|marker_2|>", TWO, None),
        ("x<|marker_1|>A\r\n<|marker_2|>y", "A\n" + TWO[TWO.index("b0") :], None),
    ],
)
def test_answers(answer: str, new: str, cursor: int | None) -> None:
    assert zeta_2_1.lay_out(at(f"‸{TWO}")).read(answer) == (new, cursor)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "expected two markers, got 0"),
        ("x = 1\n", "expected two markers, got 0"),
        ("<|marker_1|>x", "expected two markers, got 1"),
        ("<|marker_3|>x<|marker_1|>", "expected markers from 1 to 3, got 3 to 1"),
        ("<|marker_0|>x<|marker_1|>", "got 0 to 1"),
        ("<|marker_1|>x<|marker_4|>", "got 1 to 4"),
        ("<|marker_99999999999|>x<|marker_4|>", "got 1"),
        ("<|marker_١|>x<|marker_٢|>", "got 0"),
    ],
)
def test_answers_that_are_none(answer: str, why: str) -> None:
    with pytest.raises(UnreadableAnswerError, match=why):
        zeta_2_1.lay_out(at(f"‸{TWO}")).read(answer)


@FEW
@given(TEXTS, TEXTS, st.data())
def test_rewritten_blocks_are_read_back(before: str, after: str, data: st.DataObject) -> None:
    """And no other block changes."""
    layout = zeta_2_1.lay_out(at(f"{before}‸{after}"))
    ends = block_ends(layout.old)
    first = data.draw(st.integers(0, len(ends) - 2))
    last = data.draw(st.integers(first + 1, len(ends) - 1))
    blocks = {i: layout.old[a:b] for i, (a, b) in enumerate(pairwise(ends))}
    for i in range(first, last):
        blocks[i] = data.draw(TEXTS).replace("\r\n", "\n").replace("\r", "\n")
    answer = "".join(f"<|marker_{i + 1}|>{blocks[i]}" for i in range(first, last))
    new = "".join(blocks.values())
    assert layout.read(f"{answer}<|marker_{last + 1}|>") == (new, None)
