"""What Zeta 2 and 2.1 share: Seed-Coder's markers, suffix first, and which lines may change.

The part that may change is grown around the cursor's line, in lines, and so is what is shown around
it. All else that the model is told stands as further files before the current one.

Sources: Zed's crate zeta_prompt, seed_coder.rs and excerpt_ranges.rs; the report on Seed-Coder
(ByteDance Seed, 2025), section 3.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit.edit_request import EditRequest, PastEdit
from halfbyte.prompt.edit.hunks import hunks_of
from halfbyte.prompt.edit.marked_text import Marker
from halfbyte.prompt.edit.prompt_blocks import Block, Pieces
from halfbyte.prompt.edit.text_view import TextView, with_lf

SUFFIX, PREFIX = Marker("<[fim-suffix]>"), Marker("<[fim-prefix]>")
MIDDLE, FILE = Marker("<[fim-middle]>"), Marker("<filename>")
CURSOR = Marker("<|user_cursor|>")
END = Marker("<[end▁of▁sentence]>")
MARKS = r"<\[fim-(?:suffix|prefix|middle)\]>|<filename>|<\|(?:user_cursor|marker_[0-9]{1,6})\|>"
N_MOST = 4096  # tokens of a prompt
N_EDITS = 6  # of the history
# Tokens as Zed estimates them, of the part that may change, and of what is shown around it.
N_EDITABLE, N_CONTEXT = 350, 150
_NBYTES_PER_TOKEN = 3


@dataclass(frozen=True, slots=True)
class Region:
    """The lines that may change, and those that are shown; both from first to last."""

    first: int
    last: int
    shown_first: int
    shown_last: int


def region_of(view: TextView) -> Region:
    """The lines around the cursor that may change, and what is shown of the rest."""
    grown = _Lines(view, view.cursor_line, view.cursor_line)
    left = grown.grow_evenly(N_EDITABLE * 3 // 4)
    grown.grow(left + N_EDITABLE - N_EDITABLE * 3 // 4)
    first, last = grown.first, grown.last
    grown.grow(N_CONTEXT)
    return Region(first, last, grown.first, grown.last)


def assemble(request: EditRequest, region: Region, editable: Pieces) -> tuple[Block, ...]:
    """The whole prompt; `editable` is the part that may change, with the format's marks in it."""
    view = request.view
    before = view.text[view.begin(region.shown_first) : view.begin(region.first)]
    after = view.text[view.end(region.last) : view.end(region.shown_last)]
    return (
        Block((SUFFIX, after if after.endswith("\n") else f"{after}\n", PREFIX)),
        Block(
            items=tuple((FILE, _ended(f"{n}\n{with_lf(text)}")) for n, text in request.related),
            footer=("\n",),
            rank=2,
            what="other files",
        ),
        Block(
            header=(FILE, "edit_history\n"),
            items=tuple((text,) for one in request.history[-N_EDITS:] for text in _event(one)),
            footer=("\n",),
            rank=1,
            what="past edits",
            n_unwanted=max(len(request.history) - N_EDITS, 0),
        ),
        Block((FILE, f"{request.path}\n{before}", *editable, MIDDLE)),
    )


def without_cursor(text: str) -> tuple[str, int | None]:
    """A text less the cursor's mark, and where that stood."""
    at = text.find(CURSOR)
    return (text, None) if at < 0 else (text[:at] + text[at + len(CURSOR) :], at)


def _event(edit: PastEdit) -> Iterator[str]:
    """A past edit as a diff, if it changed anything."""
    diff = "".join(hunk.diff for hunk in hunks_of(edit))
    if diff:
        said = "// User accepted prediction:\n" if edit.accepted else ""
        name = edit.path.lstrip("/")
        yield f"{said}--- a/{name}\n+++ b/{name}\n{diff}"


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


class _Lines:
    """A run of lines that grows at both ends while a budget of tokens lasts."""

    def __init__(self, view: TextView, first: int, last: int) -> None:
        self._view, self.first, self.last = view, first, last

    def grow_evenly(self, budget: int) -> int:
        """Down and up in turns, until a line does not fit; what is left of the budget.

        The line that is there already counts too.
        """
        budget = max(budget - self._cost(self.first), 0)
        while budget > 0:
            down = self._grown_down(budget)
            if down is None:
                break
            up = self._grown_up(budget - down)
            if up is None or not (up or down):
                return budget - down
            budget -= down + up
        return budget

    def grow(self, budget: int) -> None:
        """Up and down in turns, until neither line fits."""
        while budget > 0:
            up = self._grown_up(budget) or 0
            down = self._grown_down(budget - up) or 0
            if not (up or down):
                return
            budget -= up + down

    def _grown_up(self, budget: int) -> int | None:
        """What one more line before costs; 0 where there is none, None where it does not fit."""
        if self.first == 0 or budget <= 0:
            return 0
        cost = self._cost(self.first - 1)
        if cost > budget:
            return None
        self.first -= 1
        return cost

    def _grown_down(self, budget: int) -> int | None:
        """The same of one more line behind."""
        if self.last == self._view.n_lines - 1 or budget <= 0:
            return 0
        cost = self._cost(self.last + 1)
        if cost > budget:
            return None
        self.last += 1
        return cost

    def _cost(self, line: int) -> int:
        return max(len(self._view.between(line, line).encode()) // _NBYTES_PER_TOKEN, 1)
