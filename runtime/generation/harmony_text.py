"""The text of an answer in Harmony, as it grows: messages, whose channels say what they are."""

from __future__ import annotations

import re
from typing import Any

from halfbyte.generation.chat_text import ChatText, n_begun
from halfbyte.tokenizer.harmony_texts import CHANNEL, END, MESSAGE, START

_TO = re.compile(r"\bto=(?:functions\.)?([^\s<]+)")
_NAME = re.compile(re.escape(CHANNEL) + r"\s*(\w+)")
_HEADS = (CHANNEL, START, " to=")  # with which a message's head begins
_BETWEEN = "\n\n"  # what stands between two messages of a channel


class HarmonyText(ChatText):
    """See ChatText; what has no head is content."""

    def __init__(self, stops: Any = (), **options: Any) -> None:
        super().__init__(stops, **options)
        self._state = "head"

    def finish(self) -> None:
        """Nothing more comes: a head that is not whole was nothing."""
        if self._state == "head" and self._left.startswith((START, CHANNEL)):
            self._left = ""
        super().finish()

    def _in_head(self) -> bool:
        left = self._left if not (self.parts or self.calls) else self._left.lstrip()
        if not any(left.startswith(head) or head.startswith(left) for head in _HEADS):
            self._state = "content"
            return False
        head, mark, rest = left.partition(MESSAGE)
        if mark:
            self._left = rest
            self._open(head)
        return False

    def _open(self, head: str) -> None:
        """A message begins, whose text comes next."""
        to, channel = _TO.search(head), _NAME.search(head)
        if to and to[1] != "assistant" and self._marks is not None:
            self._state = "call"
            self.calls.append("")
            self._call(to[1] + MESSAGE)
        elif channel and channel[1] == "analysis":
            self._state = "thoughts"
            self._think(_BETWEEN if self.reasoning else "")
        else:
            self._state = "content"
            self._blanks = _BETWEEN

    def _in_gap(self) -> bool:
        """A message is over."""
        self._state = "head"
        return False

    def _in_content(self) -> bool:
        at = self._left.find(END)
        if at < 0:
            return self._say_left(len(self._left) - n_begun(self._left, END))
        is_stopped = self._say_left(at)
        self._left = self._left.removeprefix(END)
        self._state = "gap"
        return is_stopped
