"""What holds for every format."""

from __future__ import annotations

import pytest
from hypothesis import given

from halfbyte.prompt.edit.edit_format import EditFormat
from halfbyte.prompt.edit.edit_formats import FORMATS
from halfbyte.prompt.edit.marked_text import Marker
from tests.runtime.prompt.edit.asked import FEW, TEXTS, at, rendered


@pytest.mark.parametrize("chosen", FORMATS.values(), ids=FORMATS)
@FEW
@given(TEXTS, TEXTS)
def test_the_draft_changes_nothing(chosen: EditFormat, before: str, after: str) -> None:
    layout = chosen.lay_out(at(f"{before}‸{after}"))
    assert layout.read(layout.draft) == (layout.old, None)
    shown = before + after
    assert layout.old in shown.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("chosen", FORMATS.values(), ids=FORMATS)
@FEW
@given(TEXTS)
def test_what_a_user_wrote_is_no_marker(chosen: EditFormat, text: str) -> None:
    """The markers are those of an empty text, in their order."""

    def markers(text: str) -> list[str]:
        layout = chosen.lay_out(at(f"‸{text}", related={"a": text}))
        pieces = [p for b in layout.blocks for p in (*b.header, *b.footer)]
        return [p for p in pieces if isinstance(p, Marker) and not p.startswith("<|marker_")]

    shown = rendered(chosen.lay_out(at(f"‸{text}", related={"a": text})))
    assert text.replace("\r\n", "\n").replace("\r", "\n").strip() in shown
    assert markers(text) == markers("x")
