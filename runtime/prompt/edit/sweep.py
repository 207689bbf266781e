"""Sweep's next-edit models, of 0.5 to 7 billion parameters, made from Qwen2.5-Coder.

The model sees some 300 lines of the file, other files, what is wrong, what was changed, and a
window of 21 lines twice: before what was changed in it lately, and as it is, with the cursor. It
writes the window anew, from the cursor's line on. An answer that is the window again means no edit.

Sources: the card and inference.py of sweepai/sweep-next-edit-v2-7B, which undoes past changes in
the first window; for all else the client cursortab.nvim, server/provider/sweep.
"""

from __future__ import annotations

import re

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit.edit_format import EditFormat, Layout, rest_of
from halfbyte.prompt.edit.edit_request import Diagnostic, EditRequest
from halfbyte.prompt.edit.hunks import Hunk, hunks_of
from halfbyte.prompt.edit.marked_text import Marker
from halfbyte.prompt.edit.prompt_blocks import Block
from halfbyte.prompt.edit.text_view import TextView, n_common, with_lf

N_AROUND = 10  # lines of the window, before and after the cursor's
N_BROAD = 150  # lines of the file that are shown, likewise
N_EDITS = 16  # of the history
SEP, CURSOR = Marker("<|file_sep|>"), Marker("<|cursor|>")
_WHITE = " \t\n"
_BLANK_END = re.compile(r"(?:\n[ \t]*)*\Z")


@dataclass(frozen=True, slots=True)
class SweepLayout(Layout):
    """A request in Sweep's format; `prefill` is the part of the window that the prompt holds."""

    prefill: str

    def read(self, answer: str) -> tuple[str, int | None]:
        """The window, from the lines before the cursor's and the answer.

        White space at its end is not the model's to say, and an empty answer changes nothing.
        """
        rest, written = self.old[len(self.prefill) :], with_lf(answer).rstrip(_WHITE)
        if not written or written == rest.rstrip(_WHITE):
            return self.old, None
        blank = _BLANK_END.search(rest)
        return self.prefill + written + (blank[0] if blank else ""), None


def lay_out(request: EditRequest) -> SweepLayout:
    """A request in Sweep's format."""
    view, path = request.view, request.path
    last = _last_line(view)
    first = max(view.cursor_line - N_AROUND, 0)
    until = min(view.cursor_line + N_AROUND, last)
    begin, window = view.begin(first), view.between(first, until)
    at = view.cursor - begin
    prefill = window[: window.rfind("\n", 0, at) + 1]
    place = f"{path}:{first + 1}:{until + 1}\n"
    blocks = (
        _broad(request, last),
        _related(request),
        _diagnostics(request),
        _history(request),
        Block((
            SEP, f"original/{place}{_before(request, window)}\n",
            SEP, f"current/{place}{window[:at]}", CURSOR, f"{window[at:]}\n",
            SEP, f"updated/{place}{prefill}",
        )),
    )  # fmt: skip
    return SweepLayout(blocks, begin, window, f"{window[len(prefill) :]}\n", prefill)


def _before(request: EditRequest, window: str) -> str:
    """The window without the past changes of its file, from the latest to one that is not in it."""
    text = f"\n{window}\n"
    for edit in reversed(request.history[-N_EDITS:]):
        if edit.path == request.path:
            for hunk in reversed(list(hunks_of(edit))):
                undone = _undone(text, hunk)
                if undone is None:
                    return text[1:-1]
                text = undone
    return text[1:-1]


def _undone(text: str, hunk: Hunk) -> str | None:
    """A text of whole lines before a change, found with the lines around it or without; or None."""
    n_head = n_common(hunk.old, hunk.new)
    n_tail = n_common(hunk.old[n_head:][::-1], hunk.new[n_head:][::-1])
    changed = (lines[n_head : len(lines) - n_tail] for lines in (hunk.old, hunk.new))
    for old, new in ((hunk.old, hunk.new), tuple(changed)):
        after = "".join(f"{line}\n" for line in new)
        at = text.find(f"\n{after}") + 1
        if after.strip() and at:
            return text[:at] + "".join(f"{line}\n" for line in old) + text[at + len(after) :]
    return None


def _last_line(view: TextView) -> int:
    """The last line; an empty one after the last end of line counts where the cursor is there."""
    last = view.n_lines - 1
    return last - 1 if last > view.cursor_line and not view.between(last, last) else last


def _broad(request: EditRequest, last: int) -> Block:
    """The file, nearest lines first."""
    view, at = request.view, request.view.cursor_line
    lines = range(max(at - N_BROAD, 0), min(at + N_BROAD, last) + 1)
    if not view.text:
        lines = range(0)
    return Block(
        header=(SEP, f"{request.path}\n"),
        items=tuple((f"{view.between(i, i)}\n",) for i in lines),
        rank=2,
        order=tuple(sorted(range(len(lines)), key=lambda i: abs(lines[i] - at))),
        what="lines around the cursor",
    )


def _related(request: EditRequest) -> Block:
    return Block(
        header=(SEP, "context/retrieval\n"),
        items=tuple((SEP, f"{name}\n{with_lf(text)}\n") for name, text in request.related),
        rank=4,
        what="other files",
    )


def _diagnostics(request: EditRequest) -> Block:
    return Block(
        header=(SEP, "context/diagnostics\n"),
        items=tuple((f"{_said(one)}\n",) for one in request.diagnostics),
        rank=3,
        order=tuple(range(len(request.diagnostics))),
        what="diagnostics",
    )


def _said(diagnostic: Diagnostic) -> str:
    where = f"Line {diagnostic.line}: " if diagnostic.line is not None else ""
    who = f"[{diagnostic.source}] " if diagnostic.source else ""
    return where + who + with_lf(diagnostic.message)


def _history(request: EditRequest) -> Block:
    items = []
    for edit in request.history[-N_EDITS:]:
        for hunk in hunks_of(edit):
            old, new = "\n".join(hunk.old), "\n".join(hunk.new)
            items.append((SEP, f"{edit.path}.diff\noriginal:\n{old}\nupdated:\n{new}\n"))
    n_unwanted = max(len(request.history) - N_EDITS, 0)
    return Block(items=tuple(items), rank=1, what="past edits", n_unwanted=n_unwanted)


def draft_in(prompt: str) -> str | None:
    """The window of a prompt that a client laid out, less the lines that it begins with."""
    head, begun, tail = prompt.rpartition(f"{SEP}updated/")
    place, line_end, prefill = tail.partition("\n")
    _, found, window = head.rpartition(f"{SEP}current/{place}\n")
    if not (begun and found) or SEP in tail:
        return None
    window = window.replace(CURSOR, "", 1)
    return rest_of(window if line_end else f"\n{window}", prefill)


FORMAT = EditFormat(
    name="sweep",
    models="sweep-next-edit",
    source="the card of sweepai/sweep-next-edit-v2-7B",
    tokens=(SEP,),
    lay_out=lay_out,
    n_most=8192,
    marks=r"<\|(?:file_sep|cursor)\|>",
    draft_in=draft_in,
    stop_tokens=(SEP, "<|endoftext|>"),
    shows_diagnostics=True,
)
