"""What a past edit changed: its lines before and after, three more around them, and a diff.

Source: the unified format of diff and git.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit.edit_request import PastEdit
from halfbyte.prompt.edit.text_view import n_common, with_lf

N_CONTEXT = 3  # lines around what changed
_MOST_COMPARED = 4_000_000  # pairs of lines; more are one change from the first to the last
_SIGNS = {"equal": (" ", ""), "delete": ("-", ""), "insert": ("", "+"), "replace": ("-", "+")}

_Opcode = tuple[str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Hunk:
    """A place that changed.

    Attributes:
        old, new: its lines before and after, with those around them.
        diff: both in the unified format, with its header.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    diff: str


def hunks_of(edit: PastEdit) -> Iterator[Hunk]:
    """The places that an edit changed, in order."""
    old, new = _lines(edit.old), _lines(edit.new)
    for group in _groups(old, new):
        i, j, m, n = group[0][1], group[0][3], group[-1][2], group[-1][4]
        lines = [f"@@ -{edit.line + i},{m - i} +{edit.line + j},{n - j} @@"]
        for kind, a, b, c, d in group:
            sign_old, sign_new = _SIGNS[kind]
            lines += [sign_old + line for line in old[a:b] if sign_old]
            lines += [sign_new + line for line in new[c:d] if sign_new]
        yield Hunk(tuple(old[i:m]), tuple(new[j:n]), "".join(f"{line}\n" for line in lines))


def _lines(text: str) -> list[str]:
    lines = with_lf(text).split("\n")
    return lines if lines[-1] else lines[:-1]


def _groups(old: Sequence[str], new: Sequence[str]) -> Iterator[list[_Opcode]]:
    """What changed, in groups with their surroundings; only what differs is compared."""
    n_head = n_common(old, new)
    n_tail = min(n_common(old[::-1], new[::-1]), min(len(old), len(new)) - n_head)
    begin, tail = max(n_head - N_CONTEXT, 0), max(n_tail - N_CONTEXT, 0)
    a, b = old[begin : len(old) - tail], new[begin : len(new) - tail]
    if a == b:
        return
    if len(a) * len(b) > _MOST_COMPARED:
        yield [("replace", begin, begin + len(a), begin, begin + len(b))]
        return
    for group in SequenceMatcher(None, a, b).get_grouped_opcodes(N_CONTEXT):
        yield [(kind, *(at + begin for at in ends)) for kind, *ends in group]  # type: ignore[misc]
