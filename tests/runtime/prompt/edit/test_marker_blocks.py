"""Where numbered markers stand.

The expected cuts follow from Zed's rules (crate zeta_prompt, multi_region.rs): blocks of 6 to 16
lines, cut where a line follows a blank one, moved by up to 5 lines to one that begins well.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.prompt.edit.marker_blocks import MAX_LINES, MIN_LINES, N_MOVED, block_ends
from tests.runtime.prompt.edit.asked import FEW

LINES = st.lists(st.sampled_from(["a", "b c", "", "  ", "}", "  return;", "end"]), max_size=80)


def cut_lines(lines: list[str]) -> list[int]:
    """The lines, from 0, at which blocks begin."""
    text = "\n".join(lines)
    ends = block_ends(text)
    assert (ends[0], ends[-1]) == (0, len(text))
    return [text[:at].count("\n") for at in ends[1:-1]]


@pytest.mark.parametrize(
    ("lines", "cuts"),
    [
        (["x"], []),
        (["x"] * 12, []),
        (["x"] * 16, []),
        (["x"] * 17, [16]),
        (["x"] * 40, [16, 32]),
        (["x"] * 6 + [""] + ["x"] * 6, [7]),
        (["x"] * 5 + [""] + ["x"] * 6, [6]),
        (["x"] * 4 + [""] + ["x"] * 9, []),  # five lines are too few before
        (["x"] * 6 + [""] + ["x"] * 5, []),  # and behind
        (["x"] * 6 + ["", "}", "", "x"] + ["x"] * 8, [9]),  # moved on from a closing line
        (["x"] * 6 + ["", "}"] + ["}"] * 4 + ["x"] * 8, [7]),  # nothing near begins well
        (["x"] * 16 + ["}", "case"] + ["x"] * 3, [17]),
        (["x"] * 16 + ["return;", "  end", "break;;", "y"], [19]),
        (["x"] * 16 + ["}"] * 5 + ["y"], [16]),  # it would be moved by five
    ],
)
def test_cuts(lines: list[str], cuts: list[int]) -> None:
    assert cut_lines(lines) == cuts


def test_the_ends() -> None:
    assert block_ends("") == [0, 0]
    assert block_ends("a\n") == [0, 2]
    assert block_ends("\n".join(["x"] * 17) + "\n") == [0, 32, 34]  # no line behind the last end


@FEW
@given(LINES)
def test_blocks_have_their_sizes(lines: list[str]) -> None:
    cuts = [0, *cut_lines(lines), len(lines)]
    for begin, end in pairwise(cuts):
        assert end - begin < MAX_LINES + N_MOVED
    for begin, end in pairwise(cuts[:-1]):
        assert end - begin >= MIN_LINES
