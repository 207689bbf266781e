"""The text nearest the cursor: what of long texts and of other files a model is shown.

Only near ends are encoded, a few characters for every token that there is room for, so that the
work depends on the room and not on the text. Far ends are cut between lines where that costs less
than half of what there is room for, as in a file with lines of some length.

While somebody types, the prompt's head is to stay as it is, so that what was processed of it is
still known (docs/caches.md). So the far ends move in steps:

- The prefix begins at a line near a multiple of so many characters, counted from the file's
  beginning, as there are tokens for it, rounded down to a power of two: mostly an eighth to a
  quarter of what fits.
- The room that a short prefix leaves to the suffix, and both to other files, shrinks by eighths.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.infill import Repository
from halfbyte.tokenizer import Tokenizer

# The suffix gets this part of the room at least, the prefix the rest, and each what the other
# leaves, as in llama.cpp's server.
_SUFFIX_PART = 4
_CHARACTERS = 4  # what a token mostly stands for, at least
_FILE_MARKERS = 4  # tokens around a file's name and text
_STEPS = 8  # in which room goes from one to the other

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Window:
    """What the model is shown.

    Attributes:
        prefix, suffix: the ends at the cursor.
        repository: the files that had room.
        files_dropped: the names of the others.
    """

    prefix: str
    suffix: str
    repository: Repository | None
    files_dropped: tuple[str, ...] = ()


def nearest(
    tokenizer: Tokenizer,
    around: tuple[str, str],
    repository: Repository | None,
    *,
    room: int,
    window: int | None,
    parse_markers: bool,
) -> Window:
    """What fits of the texts around a cursor and of other files; all of it where all fits.

    Args:
        tokenizer: the model's.
        around: prefix and suffix.
        repository: other files; of more than half of the room they get what the texts leave.
        room: tokens in all.
        window: tokens of prefix and suffix at most, or None.
        parse_markers: see Tokenizer.encode.
    """
    start = partial(tokenizer.encode, add_bos=False, parse_markers=parse_markers)
    prefix = _Side(tokenizer, around[0], start, is_prefix=True)
    inside = partial(tokenizer.encode_fragment, parse_markers=parse_markers)
    suffix = _Side(tokenizer, around[1], inside, is_prefix=False)
    text_room = room if window is None else min(window, room)
    n_prefix, n_suffix = prefix.count(text_room), suffix.count(text_room)
    dropped: tuple[str, ...] = ()
    if repository is not None and repository.files:
        wanted = min(_in_steps(n_prefix + n_suffix, text_room), text_room)
        file_room = max(room // 2, room - wanted)
        files, n_files = _fitting_files(tokenizer, repository, file_room)
        dropped = tuple(name for name in repository.files if name not in files)
        repository = replace(repository, files=files)
        text_room = min(text_room, room - n_files)
    if n_prefix + n_suffix <= text_room:
        return Window(*around, repository, dropped)
    left = text_room - _in_steps(n_prefix, text_room)
    suffix_room = min(n_suffix, max(text_room // _SUFFIX_PART, left))
    after, _ = suffix.keep(suffix_room)
    before, _ = prefix.keep(text_room - suffix_room)
    return Window(before, after, repository, dropped)


def _in_steps(n: int, room: int) -> int:
    """n tokens, rounded up to a step of the room."""
    step = max(room // _STEPS, 1)
    return -(-n // step) * step


class _Side:
    """The text on one side of the cursor."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        text: str,
        encode: Callable[[str], list[int]],
        *,
        is_prefix: bool,
    ) -> None:
        self._tokenizer, self._text, self._encode = tokenizer, text, encode
        self._is_prefix = is_prefix
        self._known: tuple[str, list[int]] | None = None  # a near end, and its tokens

    def count(self, room: int) -> int:
        """Its tokens; of more than `room`, one more than that."""
        return min(len(self._near_end(room)[1]), room + 1)

    def keep(self, room: int) -> tuple[str, int]:
        """Its near end in at most `room` tokens, and how many these are."""
        part, ids = self._near_end(room)
        if len(ids) <= room:
            return self._text, len(ids)
        n = room
        while n > 0:
            kept = self._last(part, ids, n)
            kept = self._from_step(kept, room) if self._is_prefix else self._whole_lines(kept)
            n_kept = len(self._encode(kept))
            if n_kept <= room:
                return kept, n_kept
            n -= n_kept - room  # cut there, its tokens are others
        return "", 0

    def _near_end(self, room: int) -> tuple[str, list[int]]:
        """A near end of more than `room` tokens, or the whole text; and its tokens."""
        part, ids = self._known or ("", [])
        if len(ids) <= room and (not part or len(part) < len(self._text)):
            part, ids = self._known = self._encoded_end(room)
        return part, ids

    def _encoded_end(self, room: int) -> tuple[str, list[int]]:
        n = _CHARACTERS * (room + 1)
        while True:
            is_all = len(self._text) <= 2 * n
            part = self._text if is_all else self._text[-n:] if self._is_prefix else self._text[:n]
            ids = self._encode(part)
            if is_all or len(ids) > room:
                return part, ids
            n *= 4

    def _last(self, part: str, ids: list[int], n: int) -> str:
        """The text of the n tokens of a part that are nearest the cursor, in whole characters."""
        near = ids[-n:] if self._is_prefix else ids[:n]
        n_nbytes = sum(len(self._tokenizer.token_bytes(i)) for i in near)
        data = part.encode()
        cut = data[max(len(data) - n_nbytes, 0) :] if self._is_prefix else data[:n_nbytes]
        return cut.decode(errors="ignore")

    def _from_step(self, kept: str, room: int) -> str:
        """Less what stands before the first line that begins at a step or soon after it."""
        text, begin = self._text, len(self._text) - len(kept)
        if not begin or not kept:
            return kept
        step: int = 1 << (room.bit_length() - 1)
        while step > 1 and step > len(kept) // 2:
            step //= 2
        at = -(-begin // step) * step
        found = _LINE_END.finditer(text, at - 1, at + step // 2)
        return text[next((m.end() for m in found if m.end() >= at), at) :]

    def _whole_lines(self, kept: str) -> str:
        """Less the far line's rest, unless that is half of it or more."""
        text, n = self._text, len(kept)
        ends = [m.end() for m in _LINE_END.finditer(text, n // 2, n + 1) if m.end() <= n]
        return text[: ends[-1] if ends else n]


def _fitting_files(
    tokenizer: Tokenizer, repository: Repository, room: int
) -> tuple[dict[str, str], int]:
    """The files that fit, whole, the last ones first; and their tokens."""
    kept, n_kept = set(), 0
    for name, text in reversed(list(repository.files.items())):
        whole = _Side(tokenizer, f"{name}\n{text}", tokenizer.encode_fragment, is_prefix=False)
        n = whole.count(room - n_kept) + _FILE_MARKERS
        if n <= room - n_kept:
            kept.add(name)
            n_kept += n
    return {name: text for name, text in repository.files.items() if name in kept}, n_kept
