"""Which lines Zeta may change and is shown, against a slow twin of Zed's rules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from halfbyte.prompt.edit.edit_request import PastEdit, edit_request
from halfbyte.prompt.edit.seed_coder import N_EDITS, Region, assemble, region_of
from halfbyte.prompt.edit.text_view import TextView
from tests.runtime.prompt.edit.asked import FEW, at

LENGTHS = st.lists(st.integers(0, 400), min_size=1, max_size=60)


def zeds(costs: list[int], cursor: int) -> Region:
    """Steps 1 and 3 of compute_editable_range_from_text and expand_context_from_text, in words.

    First in turns below and above the cursor's line, of 262 tokens; then above and below, of what
    350 leave; then likewise, of 150 more, for what is shown.
    """
    first = last = cursor
    left = max(262 - costs[cursor], 0)
    fits = True
    while fits and left and (first > 0 or last < len(costs) - 1):
        for step in (1, -1):
            edge = last + 1 if step == 1 else first - 1
            if not 0 <= edge < len(costs) or not left:
                continue
            if costs[edge] > left:
                fits = False
                break
            left -= costs[edge]
            first, last = min(first, edge), max(last, edge)

    def widened(first: int, last: int, left: int) -> tuple[int, int]:
        grows = True
        while grows and left:
            grows = False
            for step in (-1, 1):
                edge = last + 1 if step == 1 else first - 1
                if left and 0 <= edge < len(costs) and costs[edge] <= left:
                    left -= costs[edge]
                    first, last, grows = min(first, edge), max(last, edge), True
        return first, last

    first, last = widened(first, last, left + 350 - 262)
    return Region(first, last, *widened(first, last, 150))


@FEW
@given(LENGTHS, st.data())
def test_the_region_is_zeds(lengths: list[int], data: st.DataObject) -> None:
    lines = ["é" * (n // 2) for n in lengths]  # two bytes each
    cursor = data.draw(st.integers(0, len(lines) - 1))
    text = "\n".join(lines)
    view = TextView(text, sum(len(line) + 1 for line in lines[:cursor]))
    costs = [max(len(line.encode()) // 3, 1) for line in lines]
    assert region_of(view) == zeds(costs, cursor)


def test_a_text_of_short_lines() -> None:
    """350 lines that count one token each may change; 150 more are shown.

    In turns 131 below and 130 above, then 44 above and 44 below.
    """
    view = TextView("\n" * 999, 500)
    assert region_of(view) == Region(326, 675, 251, 750)


def test_a_line_beyond_all_budgets_is_shown_whole() -> None:
    view = TextView("a\n" + "x" * 5000 + "\nb", 10)
    assert region_of(view) == Region(0, 2, 0, 2)


def test_only_six_edits_are_shown_and_only_what_changed() -> None:
    history = [PastEdit("/a/b.rs", f"{i}", f"{i}x", accepted=i == 8) for i in range(9)]
    history[5] = PastEdit("c", "same", "same\n")
    asked = at("‸x", history=history)
    block = assemble(asked, Region(0, 0, 0, 0), ())[2]
    assert N_EDITS == 6 and block.n_unwanted == 3 and len(block.items) == 5
    assert block.items[0] == ("--- a/a/b.rs\n+++ b/a/b.rs\n@@ -1,1 +1,1 @@\n-3\n+3x\n",)
    assert block.items[-1][0].startswith("// User accepted prediction:\n--- a/a/b.rs\n")


@FEW
@given(st.integers(0, 60))
def test_what_is_shown_lies_around_what_may_change(cursor: int) -> None:
    text = "\n".join(f"line {i} {'x' * 40}" for i in range(61))
    asked = edit_request("a.rs", text, (cursor + 1, 1))
    region = region_of(asked.view)
    suffix, *_, prefix = assemble(asked, region, ("|",))
    before = prefix.header[1].removeprefix("a.rs\n")
    after = suffix.header[1]
    editable = asked.view.between(region.first, region.last)
    assert before + editable + after.rstrip("\n") in text
    assert f"line {cursor} " in editable and not editable.endswith("\n")
