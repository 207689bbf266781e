"""A text with a gap that a client laid out itself, in the markers of a family that infills.

Zed, for one, writes such prompts. What they mean is found again, so that the prompt that is made of
it has the tokens that the family was trained on, and no text of a user becomes a marker.
"""

from __future__ import annotations

from halfbyte.prompt.infill_layouts import FAMILIES, Family

_SPACE = "▁"
# A client that has an answer end at one of these speaks in markers.
MARKS = frozenset(
    mark.removeprefix(_SPACE)
    for one in FAMILIES
    for mark in (one.prefix, one.suffix, one.middle, *one.stops)
    if mark and mark != "<|endoftext|>"
)


def gap_in(family: Family, text: str) -> tuple[str, str] | None:
    """What stands before and after the gap; None where the text is not laid out so, all of it, or
    could be so in two ways.
    """
    prefix, suffix, middle = family.prefix, family.suffix, family.middle
    if prefix.startswith(_SPACE):  # the markers' own spaces stand between them and the texts
        prefix, suffix, middle = (mark.removeprefix(_SPACE) for mark in (prefix, suffix, middle))
        prefix, suffix, middle = f"{prefix} ", f" {suffix}", f" {middle}"
    first, second, last = (prefix, suffix, middle) if family.psm else (suffix, prefix, middle)
    if not (text.startswith(first) and text.endswith(last)):
        return None
    body = text[len(first) : len(text) - len(last)]
    if any(body.count(mark) != n for mark, n in ((first, 0), (second, 1), (last, 0)) if mark):
        return None
    before, _, after = body.partition(second)
    return (before, after) if family.psm else (after, before)
