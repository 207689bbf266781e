"""Zeta 2.1, made from Seed-Coder 8B: numbered markers between the blocks that may change.

The answer is a span of blocks, anew, with its markers around and in it; one marker twice means no
edit. The cursor's mark in it is where to jump.

Source: Zed's crate zeta_prompt, format V0318SeedMultiRegions.
"""

from __future__ import annotations

import re
from itertools import pairwise

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit import seed_coder
from halfbyte.prompt.edit.edit_format import EditFormat, Layout, UnreadableAnswerError, rest_of
from halfbyte.prompt.edit.edit_request import EditRequest
from halfbyte.prompt.edit.marked_text import Marker
from halfbyte.prompt.edit.marker_blocks import block_ends
from halfbyte.prompt.edit.prompt_blocks import Pieces
from halfbyte.prompt.edit.seed_coder import CURSOR, Region, assemble, region_of, without_cursor
from halfbyte.prompt.edit.text_view import with_lf

_MARKER = re.compile(r"<\|marker_([0-9]{1,6})\|>")


@dataclass(frozen=True, slots=True)
class Zeta21Layout(Layout):
    """A request in Zeta 2.1's format."""

    def read(self, answer: str) -> tuple[str, int | None]:
        """The part that may change, with the answer's span in it."""
        answer = with_lf(answer)
        found = list(_MARKER.finditer(answer))
        if len(found) < 2:
            raise UnreadableAnswerError(f"expected two markers, got {len(found)}")
        first, last = (int(found[i][1]) - 1 for i in (0, -1))
        if first == last:
            return self.old, None
        ends = block_ends(self.old)
        if not 0 <= first < last < len(ends):
            raise UnreadableAnswerError(
                f"expected markers from 1 to {len(ends)}, got {first + 1} to {last + 1}"
            )
        span = "".join(answer[a.end() : b.start()] for a, b in pairwise(found))
        return without_cursor(self.old[: ends[first]] + span + self.old[ends[last] :])


def marker(i: int) -> Marker:
    """The marker at place i, from 0."""
    return Marker(f"<|marker_{i + 1}|>")


def lay_out(request: EditRequest, region: Region | None = None) -> Zeta21Layout:
    """A request in Zeta 2.1's format; `region` is what may change, by default as Zed has it."""
    view = request.view
    region = region or region_of(view)
    begin, old = view.begin(region.first), view.between(region.first, region.last)
    ends, at = block_ends(old), view.cursor - begin
    editable: list[str] = []
    draft: list[str] = []
    for i, (a, b) in enumerate(pairwise(ends)):
        editable += [marker(i), *_with_cursor(old, a, b, at)]
        at = at if at > b else -1  # it stands in one block
        draft += [marker(i), old[a:b]]
    last = marker(len(ends) - 1)
    blocks = assemble(request, region, (*editable, last, "\n"))
    return Zeta21Layout(blocks, begin, old, "".join([*draft, last]))


def _with_cursor(old: str, begin: int, end: int, cursor: int) -> Pieces:
    """A block, with the cursor in it if it stands there."""
    if not begin <= cursor <= end:
        return (old[begin:end],)
    return (old[begin:cursor], CURSOR, old[cursor:end])


def draft_in(prompt: str) -> str | None:
    """The part of a prompt that a client laid out which may change, with all of its markers."""
    head, asked, prefill = prompt.rpartition(seed_coder.MIDDLE)
    head, _, current = head.rpartition(seed_coder.FILE)
    found = list(_MARKER.finditer(current))
    if not (asked and len(found) > 1) or seed_coder.SUFFIX not in head:
        return None
    old = current[found[0].start() : found[-1].end()]
    return rest_of(old.replace(CURSOR, "", 1), prefill)


FORMAT = EditFormat(
    name="zeta-2.1",
    models=r"(?:^|-)zeta-?2[.-]1(?![\da-z]|\.\d)",
    source="Zed's crate zeta_prompt, V0318SeedMultiRegions",
    tokens=(seed_coder.SUFFIX, seed_coder.PREFIX, seed_coder.MIDDLE),
    lay_out=lay_out,
    n_most=seed_coder.N_MOST,
    marks=seed_coder.MARKS,
    draft_in=draft_in,
    stop_tokens=(seed_coder.END,),
    reserved=("<|marker_", CURSOR),
)
