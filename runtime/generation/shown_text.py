"""The text of an answer as it grows: where it ends, and what of it may be shown already."""

from __future__ import annotations

import copy
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from halfbyte.generation.block_ends import BlockEnd
from halfbyte.generation.chat_completion import Part, ToolCall
from halfbyte.generation.completion import FinishReason

_LINE_END = re.compile(r"[\r\n]")
_WORD = re.compile(r"\w")
# Where, why, and the stop that begins there.
_End = tuple[int, FinishReason, str]
_PAIRS = {")": "(", "]": "[", "}": "{"}


class ShownText:
    """Text that only grows: what may still be cut from its end is held back.

    Attributes:
        text: what may be shown.
        trimmed: what its end repeated of the text that follows, and was cut.
        banned: texts that it never has.
        n_taken_back: how many pieces the last one took back, since a banned text was complete.
        spelled: control tokens that count as texts; see ChatText.
        parts: pieces of a chat's answer, see ChatText; None elsewhere.
        ended_by: why it ends, where its text says so or the model ends it.
        stop_text: the one of the stops before which it ends; empty where none ended it.
    """

    spelled: Mapping[int, str] = MappingProxyType({})
    parts: Sequence[Part] | None = None
    ended_by: FinishReason = "stop"
    stop_text = ""

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        """See ChatText."""
        return ()

    def __init__(
        self,
        stops: Sequence[str] = (),
        *,
        suffix: str = "",
        is_line: bool = False,
        block_ends: Sequence[BlockEnd] = (),
        banned: Sequence[str] = (),
    ) -> None:
        """Nothing yet.

        Args:
            stops: texts before which it ends.
            suffix: the text that follows it and is not to be repeated, see `n_repeated`.
            is_line: whether it ends before the first end of a line that is not blank.
            block_ends: where else it ends.
            banned: texts that it never has: where one is complete, the pieces since the one that
                it begins in are taken back. Each piece is a token's then.
        """
        self.text = self.trimmed = ""
        self._held = ""
        self._stops, self._suffix, self._is_line = tuple(stops), suffix, is_line
        self._block_ends, self.banned = tuple(block_ends), tuple(banned)
        self._is_bounded = bool(stops or suffix or is_line or block_ends or banned)
        self._begins: list[int] = []  # of the pieces, where something is banned
        self.n_taken_back = 0

    @property
    def may_end(self) -> bool:
        """Whether anything that it says ends it."""
        return bool(self._stops or self._block_ends or self._is_line)

    def fork(self) -> ShownText:
        """Another one at the same place."""
        made = copy.copy(self)
        made._block_ends = tuple(map(copy.copy, self._block_ends))
        made._begins = list(self._begins)
        return made

    def push(self, piece: str) -> bool:
        """Take more; True where the text ends within it."""
        if not self._is_bounded:
            self.text += piece
            return False
        text = self._held + piece
        nowhere: _End = (-1, "stop", "")
        end = min((end for end in self._ends(text, piece) if end[0] >= 0), default=nowhere)
        cut = end[0]
        if self.banned and self._takes_back(text, piece, cut):
            return False
        if cut >= 0:
            self._held = text[:cut]
            _, self.ended_by, self.stop_text = end
            self.finish()
            return True
        n_held = self._n_held(text)
        self.text += text[: len(text) - n_held]
        self._held = text[len(text) - n_held :]
        return False

    def finish(self) -> None:
        """Nothing more comes: show the rest, but for what the suffix repeats."""
        text = self.text + self._held
        n = len(text) - n_repeated(text, self._suffix)
        self.trimmed = text[n:]
        self.text, self._held = text[:n], ""

    def forget(self, n: int) -> None:
        """Take back the last n pieces, which were empty."""
        del self._begins[len(self._begins) - n :]

    def _n_held(self, text: str) -> int:
        n = max((_overlap(text, stop, len(stop) - 1) for stop in self._stops), default=0)
        n = max(n, _overlap(text, self._suffix, len(self._suffix)))
        if not (self._block_ends or self.banned):
            return n
        n_all = len(self.text) + len(text)
        for end in self._block_ends:
            n = max(n, n_all - end.held_from)
        return max(n, len(text) - self._lasting(text))

    def _lasting(self, text: str) -> int:
        """How much of a text stays, whatever follows: no banned text begins behind it.

        Where one is begun, all of the piece that it begins in may be taken back, and what stands
        before that piece may then begin another one.
        """
        end, n_shown = len(text), len(self.text)
        while n := max((_overlap(text[:end], ban, len(ban) - 1) for ban in self.banned), default=0):
            end = self._begins[bisect_right(self._begins, n_shown + end - n) - 1] - n_shown
        return end

    def _takes_back(self, text: str, piece: str, cut: int) -> bool:
        """Take back what ends in a banned text, unless the text ends before that."""
        n_shown = len(self.text)
        self._begins.append(n_shown + len(text) - len(piece))
        at = min((at for at in map(text.find, self.banned) if at >= 0), default=-1)
        self.n_taken_back = 0
        if at < 0 or 0 <= cut <= at:
            return False
        i = bisect_right(self._begins, n_shown + at) - 1
        self.n_taken_back = len(self._begins) - i
        self._held = text[: self._begins[i] - n_shown]
        del self._begins[i:]
        for end in self._block_ends:
            end.restart()
            end.push(self.text + self._held)
        return True

    def _ends(self, text: str, piece: str) -> list[_End]:
        ends: list[_End] = [(text.find(stop), "stop", stop) for stop in self._stops]
        for end in self._block_ends:
            at = end.push(piece)
            ends.append((at - len(self.text) if at >= 0 else -1, end.reason, ""))
        if self._is_line:
            begin = 0 if self.text.strip() else len(text) - len(text.lstrip())
            found = _LINE_END.search(text, begin)
            ends.append((found.start() if found else -1, "stop", ""))
        return ends


def n_repeated(text: str, suffix: str) -> int:
    """How much of a text's end the suffix begins with: the rest of its line, or whole lines.

    Less than a line of the suffix is none, and so is what has no letter or digit in it, unless it
    closes brackets that the text did not open.
    """
    for n in range(min(len(text), len(suffix)), 0, -1):
        is_whole = n == len(suffix) or suffix[n] in "\r\n" or suffix[n - 1] == "\n"
        if is_whole and text.endswith(suffix[:n]):
            part = suffix[:n]
            if _WORD.search(part) or (part.strip() and _n_unopened(text) > 0):
                return n
            return 0
    return 0


def _n_unopened(text: str) -> int:
    """Brackets that a text closes and did not open."""
    is_open, n = [], 0
    for char in text:
        if char in _PAIRS.values():
            is_open.append(char)
        elif char in _PAIRS:
            if is_open and is_open[-1] == _PAIRS[char]:
                is_open.pop()
            else:
                n += 1
    return n


def _overlap(text: str, other: str, n_most: int) -> int:
    """Length of the longest end of `text`, of n_most characters at most, that begins `other`."""
    for n in range(min(len(text), n_most), 0, -1):
        if text.endswith(other[:n]):
            return n
    return 0
