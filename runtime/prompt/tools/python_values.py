"""Calls and values as Python writes them, or JSON: read from a text, and written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from halfbyte.prompt.tools.call_format import Call, MalformedCall

_MAX_DEPTH = 64
_QUOTED = re.compile(
    r"\"\"\"((?:[^\\]|\\.)*?)\"\"\"|'''((?:[^\\]|\\.)*?)'''"
    r"|\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'",
    re.DOTALL,
)
# A text in quotes of either kind, and the quote that ends it.
TEXTS = re.compile(r"\"(?:[^\"\\]|\\.)*(\"?)|'(?:[^'\\]|\\.)*('?)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z]+")
_WORDS: Mapping[str, Any] = {
    "True": True, "False": False, "None": None, "true": True, "false": False, "null": None,
}  # fmt: skip
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v", "0": "\0",
            "\n": "", **{c: c for c in "\\'\"/"}}  # fmt: skip
_BLANKS = " \t\r\n"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_KEY = re.compile(r"[^\s=(),]{1,128}")


class Reader:
    """A text, and how far it was read; all methods raise MalformedCall."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def skip(self) -> str:
        """The character behind blanks; empty at the end."""
        while self.at < len(self.text) and self.text[self.at] in _BLANKS:
            self.at += 1
        return self.text[self.at : self.at + 1]

    def take(self, *wanted: str) -> str:
        """One of some characters, behind blanks."""
        got = self.skip()
        if got not in wanted or not got:
            raise self.bad(" or ".join(wanted))
        self.at += 1
        return got

    def match(self, pattern: re.Pattern[str], what: str) -> str:
        """What a pattern finds behind blanks."""
        self.skip()
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self.bad(what)
        self.at = found.end()
        return found[0]

    def listed(self, end: str, read: Callable[[], None]) -> None:
        """Things with commas between them, up to their end; the last comma may be one too many."""
        while self.skip() != end:
            read()
            if self.take(",", end) == end:
                return
        self.at += 1

    def call(self) -> Call:
        """A call, whose arguments are by name."""
        name, arguments = self.match(_NAME, "a function's name"), dict[str, Any]()

        def read() -> None:
            key = self.match(_KEY, "an argument's name")
            self.take("=")
            arguments[key] = self.value()

        self.take("(")
        self.listed(")", read)
        return Call(name, arguments)

    def value(self, depth: int = 0) -> Any:
        """A value."""
        first = self.skip()
        if depth > _MAX_DEPTH:
            raise MalformedCall(f"expected at most {_MAX_DEPTH} levels, got more")
        if first in ("[", "("):
            return self._list("]" if first == "[" else ")", depth)
        if first == "{":
            return self._mapping(depth)
        if first in ("'", '"'):
            return self.string()
        if word := _WORD.match(self.text, self.at):
            if word[0] not in _WORDS:
                raise self.bad("a value")
            self.at = word.end()
            return _WORDS[word[0]]
        return _number(self.match(_NUMBER, "a value"))

    def string(self) -> str:
        """A text in quotes."""
        self.skip()
        found = _QUOTED.match(self.text, self.at)
        if found is None:
            raise self.bad("a text in quotes")
        self.at = found.end()
        body: str = next(one for one in found.groups() if one is not None)
        return _unescaped(body)

    def bad(self, expected: str) -> MalformedCall:
        """What is raised: what stands here is not what was expected."""
        return MalformedCall(f"expected {expected}, got {self.text[self.at : self.at + 40]!r}")

    def _list(self, end: str, depth: int) -> list[Any]:
        made: list[Any] = []
        self.at += 1
        self.listed(end, lambda: made.append(self.value(depth + 1)))
        return made

    def _mapping(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}

        def read() -> None:
            key = self.string()
            self.take(":")
            made[key] = self.value(depth + 1)

        self.at += 1
        self.listed("}", read)
        return made


def spelled(value: Any) -> str:
    """A value as LFM2's template writes it: objects as JSON, all else as Python does."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else repr(value)


def _number(text: str) -> int | float:
    text = text.replace("_", "")
    try:
        return int(text)
    except ValueError:
        pass
    value = float(text)
    if not math.isfinite(value):
        raise MalformedCall(f"expected a number of JSON's readers, got {text!r:.80}")
    return value


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text

    def meant(found: re.Match[str]) -> str:
        digits = found[1] or found[2] or found[3]
        if digits:
            number = int(digits, 16)
            return chr(number) if number < 0x110000 else found[0]
        return _ESCAPED.get(found[4], found[0])

    made = _ESCAPE.sub(meant, text)
    # JSON has what is beyond 16 bits in two halves.
    return made.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
