"""The text of a chat's answer as it grows, in its parts: thoughts, content, calls of functions.

All of them are told apart by texts, and special tokens count as theirs: `<think>`, `<tool_call>` or
`[TOOL_CALLS]` may be one token or several, and none of them is ever shown.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from halfbyte.generation.chat_completion import Part, PartKind, ToolCall
from halfbyte.generation.shown_text import ShownText


class CallMarks(Protocol):
    """Where calls of functions begin and end; see prompt/tools/call_format.py."""

    begins: tuple[str, ...]
    end: str
    tells: str
    is_last: bool
    ends_thoughts: bool

    def begins_with(self, text: str) -> bool | None:
        """Whether an answer that begins like this is a call without a mark; None: not clear yet."""

    def is_open(self, text: str) -> bool:
        """Whether a call stops within a value here, so that an end which follows is part of it."""


class ChatText(ShownText):
    """An answer's text; `text` is its content, whose stops are the request's.

    White space around thoughts and beside calls belongs to neither.

    Attributes:
        reasoning: what was thought.
        calls: the texts of calls, without their marks.
        parts: pieces of all three, in order.
        is_within_call: whether the answer's last call has no end.
        spelled: control tokens that count as texts.
    """

    def __init__(
        self,
        stops: Sequence[str] = (),
        *,
        thoughts: tuple[str, str] | None = None,
        is_thinking: bool = False,
        calls: CallMarks | None = None,
        spelled: Mapping[int, str] | None = None,
        banned: Sequence[str] = (),
        read: Callable[[Sequence[str]], list[ToolCall]] | None = None,
    ) -> None:
        """Nothing yet.

        Args:
            stops: texts before which it ends.
            thoughts: the texts between which the model thinks.
            is_thinking: whether the prompt ended within a thought.
            calls: how functions are called; None where none may be.
            spelled: control tokens that count as texts.
            banned: see ShownText; with thoughts or calls there is none.
            read: what reads the texts of whole calls.
        """
        super().__init__(banned=banned)
        self._content = ShownText(stops, banned=banned)
        self._is_plain = thoughts is None and calls is None
        self.reasoning = ""
        self.calls: list[str] = []
        self.parts: list[Part] = []
        self.is_within_call = False
        self.spelled = spelled or {}
        self._thoughts, self._marks = thoughts or ("", ""), calls
        self._read, self._n_read, self._tool_calls = read, 0, list[ToolCall]()
        self._left = ""  # what is not known to be one or the other
        self._blanks = ""  # between content and the calls after it
        self._is_new = True  # no content has come yet
        self._state = "thoughts" if is_thinking else "start" if thoughts else "content"

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls that are whole so far; one without a mark at its end is at the answer's."""
        n = len(self.calls) - (self._state == "call")
        if self._read is not None and n > self._n_read:
            self._n_read, self._tool_calls = n, self._read(self.calls[:n])
        return self._tool_calls

    @property
    def may_end(self) -> bool:
        """See ShownText."""
        return self._content.may_end

    def fork(self) -> ChatText:
        """See ShownText."""
        made = copy.copy(self)
        made._content = self._content.fork()
        made.calls, made.parts = list(self.calls), list(self.parts)
        return made

    def push(self, piece: str) -> bool:
        """Take more; True where the text ends within it."""
        if self._is_plain:
            is_stopped = self._content.push(piece)
            self.stop_text = self._content.stop_text
            self.n_taken_back = self._content.n_taken_back
            self._show_content()
            return is_stopped
        self._left += piece
        while self._left:
            before = self._state, len(self._left)
            if getattr(self, f"_in_{self._state}")():
                return True
            if before == (self._state, len(self._left)):
                break
        return False

    def finish(self) -> None:
        """Nothing more comes."""
        left, self._left = self._left, ""
        if self._state == "thoughts":
            self._think(left.rstrip())
        elif self._state == "call":
            self._call(left)
        elif self._state != "gap":
            self._say(left)
        self._content.finish()
        self._show_content()

    def forget(self, n: int) -> None:
        """See ShownText."""
        self._content.forget(n)

    def _in_start(self) -> bool:
        """Nothing but blanks has come: a thought may begin."""
        begin, begun = self._thoughts[0], self._left.lstrip()
        if begun.startswith(begin):
            self._state, self._left = "thoughts", begun[len(begin) :]
        elif not begin.startswith(begun):
            self._state = "content"
        return False

    def _in_thoughts(self) -> bool:
        end = self._thoughts[1]
        if not self.reasoning:
            self._left = self._left.lstrip()
        cuts = self._marks.begins if self._marks is not None and self._marks.ends_thoughts else ()
        found = [(at, mark) for mark in (end, *cuts) if (at := self._left.find(mark)) >= 0]
        if found:
            at, mark = min(found)
            self._think(self._left[:at].rstrip())
            self._left = self._left[at + len(end) if mark == end else at :]
            self._state = "gap"
            return False
        n = len(self._left) - max(n_begun(self._left, mark) for mark in (end, *cuts))
        n = len(self._left[:n].rstrip())
        self._think(self._left[:n])
        self._left = self._left[n:]
        return False

    def _in_gap(self) -> bool:
        """Blanks after a thought or a call."""
        self._left = self._left.lstrip()
        if self._left:
            self._state = "content"
        return False

    def _in_content(self) -> bool:
        marks = self._marks
        if marks is None:
            return self._say_left(len(self._left))
        if self._is_new:
            whole = marks.begins_with(self._left)
            if whole is None and self._left.strip():
                return False
            if whole:
                self._begin_call(0)
                return False
        found = [(at, mark) for mark in marks.begins if (at := self._left.find(mark)) >= 0]
        if found:
            at, mark = min(found)
            if self._say_left(len(self._left[:at].rstrip())):
                return True
            n_before = self._left.find(mark)
            self._blanks += self._left[:n_before]
            self._begin_call(n_before + len(mark))
            return False
        held = max(n_begun(self._left, mark) for mark in marks.begins)
        n = len(self._left) - held
        return self._say_left(len(self._left[:n].rstrip()))

    def _in_call(self) -> bool:
        end = self._marks.end if self._marks is not None else ""
        at = self._end_of_call(end) if end else -1
        if at >= 0:
            self._call(self._left[:at])
            self._left = self._left[at + len(end) :]
            self._state, self.is_within_call = "gap", False
            return False
        n = len(self._left) - n_begun(self._left, end)
        self._call(self._left[:n])
        self._left = self._left[n:]
        return False

    def _end_of_call(self, end: str) -> int:
        """Where in what is left the call ends; -1: not yet."""
        at = self._left.find(end)
        while at >= 0 and self._marks and self._marks.is_open(self.calls[-1] + self._left[:at]):
            at = self._left.find(end, at + 1)
        return at

    def _begin_call(self, n_before: int) -> None:
        self._left = self._left[n_before:]
        self._state, self.is_within_call = "call", bool(self._marks and self._marks.end)
        self.calls.append("")

    def _say_left(self, n: int) -> bool:
        said, self._left = self._left[:n], self._left[n:]
        return self._say(said)

    def _say(self, text: str) -> bool:
        """Content, in which stops count, and control tokens are nothing."""
        for mark in self.spelled.values():
            text = text.replace(mark, "")
        if not text:
            return False
        self._is_new = False
        text, self._blanks = (self._blanks if self.text else "") + text, ""
        is_stopped = self._content.push(text)
        self.stop_text = self._content.stop_text
        self._show_content()
        return is_stopped

    def _show_content(self) -> None:
        n = len(self.text)
        self.text = self._content.text
        self._tell("content", self.text[n:])

    def _think(self, text: str) -> None:
        self.reasoning += text
        self._tell("reasoning", text)

    def _call(self, text: str) -> None:
        self.calls[-1] += text
        self._tell("tool_call", text)

    def _tell(self, kind: PartKind, text: str) -> None:
        if text:
            self.parts.append(Part(kind, text))


def n_begun(text: str, mark: str) -> int:
    """How many of a mark's first characters, but not all, a text ends with."""
    return next((n for n in range(len(mark) - 1, 0, -1) if text.endswith(mark[:n])), 0)
