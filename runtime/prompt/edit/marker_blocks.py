"""Where Zeta 2.1 puts its numbered markers: between blocks of lines, at blank lines where it can.

Source: Zed's crate zeta_prompt, multi_region.rs, the sizes of V0318.
"""

from __future__ import annotations

MIN_LINES, MAX_LINES = 6, 16  # of a block
N_MOVED = 5  # lines by which a cut is moved to a better place, less one

_CLOSING = ("}", "]", ")")
_TAILS = {"break", "continue", "return", "throw", "end"}


def block_ends(text: str) -> list[int]:
    """Where the markers stand: offsets from 0 to the text's length, in order."""
    if not text:
        return [0, 0]
    lines = text.split("\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    begins = [0]
    for line in lines[:-1]:
        begins.append(begins[-1] + len(line) + 1)
    cuts = [begins[i] for i in _cuts([line.strip() for line in lines])]
    return [0, *cuts, len(text)]


def _cuts(lines: list[str]) -> list[int]:
    """The lines at which blocks after the first one begin; `lines` are without white space."""
    cuts: list[int] = []
    begin, i = 0, 0
    while i < len(lines):
        at = None
        if i - begin >= MIN_LINES and lines[i] and not lines[i - 1]:
            at = _moved(lines, i)
            if len(lines) - at < MIN_LINES:
                at = None
        if at is None and i - begin >= MAX_LINES:
            at = _moved(lines, i)
        if at is not None:
            cuts.append(at)
            begin = i = at
        i += 1
    return cuts


def _moved(lines: list[str], i: int) -> int:
    """The first line from i on where a block begins well, if one is near, else i."""
    near = range(i, min(i + N_MOVED, len(lines)))
    return next((at for at in near if _begins_well(lines[at])), i)


def _begins_well(line: str) -> bool:
    return bool(line) and not line.startswith(_CLOSING) and line.rstrip(";") not in _TAILS
