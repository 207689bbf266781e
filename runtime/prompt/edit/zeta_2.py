"""Zeta 2, made from Seed-Coder 8B: the part that may change between marks of a merge conflict.

The answer is the part anew, up to the mark that ends a conflict; the cursor's mark in it is where
to jump.

Source: Zed's crate zeta_prompt, format V0211SeedCoder.
"""

from __future__ import annotations

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit import seed_coder
from halfbyte.prompt.edit.edit_format import EditFormat, Layout, rest_of
from halfbyte.prompt.edit.edit_request import EditRequest
from halfbyte.prompt.edit.seed_coder import CURSOR, Region, assemble, region_of, without_cursor
from halfbyte.prompt.edit.text_view import with_lf

CURRENT, UPDATED = "<<<<<<< CURRENT\n", ">>>>>>> UPDATED"
SEPARATOR = "=======\n"


@dataclass(frozen=True, slots=True)
class Zeta2Layout(Layout):
    """A request in Zeta 2's format."""

    def read(self, answer: str) -> tuple[str, int | None]:
        """The part anew; an empty answer changes nothing."""
        if not answer.strip():
            return self.old, None
        new, cursor = without_cursor(with_lf(answer))
        if new.endswith("\n") and not self.old.endswith("\n"):
            new = new[:-1]
        return new, None if cursor is None else min(cursor, len(new))


def lay_out(request: EditRequest, region: Region | None = None) -> Zeta2Layout:
    """A request in Zeta 2's format; `region` is what may change, by default as Zed chooses it."""
    view = request.view
    region = region or region_of(view)
    begin, old = view.begin(region.first), view.between(region.first, region.last)
    at = view.cursor - begin
    end = "" if old.endswith("\n") else "\n"
    editable = (f"{CURRENT}{old[:at]}", CURSOR, f"{old[at:]}{end}{SEPARATOR}")
    return Zeta2Layout(assemble(request, region, editable), begin, old, f"{old}{end}")


def draft_in(prompt: str) -> str | None:
    """The part of a prompt that a client laid out which may change."""
    head, asked, prefill = prompt.rpartition(f"{SEPARATOR}{seed_coder.MIDDLE}")
    _, marked, old = head.rpartition(CURRENT)
    if not (asked and marked) or seed_coder.SUFFIX not in head:
        return None
    return rest_of(old.replace(CURSOR, "", 1), prefill)


FORMAT = EditFormat(
    name="zeta-2",
    models=r"(?:^|-)zeta-?2(?!\d|\.\d|-1(?![\da-z]))",
    source="Zed's crate zeta_prompt, V0211SeedCoder",
    tokens=(seed_coder.SUFFIX, seed_coder.PREFIX, seed_coder.MIDDLE),
    lay_out=lay_out,
    n_most=seed_coder.N_MOST,
    marks=seed_coder.MARKS,
    draft_in=draft_in,
    stop_texts=(UPDATED,),
    stop_tokens=(seed_coder.END,),
    reserved=(UPDATED, CURSOR),
)
