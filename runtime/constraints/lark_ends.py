"""Rules of a Lark grammar that no finite text meets.

llguidance looks for the text that such a rule forces without end. So they are told before, as far
as the grammar can be read here: what cannot is left to llguidance, which says what is wrong.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t\r]+|//[^\n]*|\#[^\n]*|->[ \t]*\w+)
    | (?P<line>\n)
    | (?P<text>"(?:\\.|[^"\\\n])*"i?|/(?:\\.|[^/\\\n])+/[imslux]*|<[^<>\s]+>|@\w+)
    | (?P<name>\w+)
    | (?P<many>[?*+]|~\s*\d+(?:\s*\.\.\s*\d+)?|\{\s*(?:\d+\s*)?(?:,\s*(?:\d+\s*)?)?\})
    | (?P<nested>%(?:json|regex|lark|llguidance)\s*\{)
    | (?P<other>.)
    """,
    re.VERBOSE,
)
_HEAD = re.compile(r"[ \t]*[?!]*(\w+)[ \t]*(?:\.[ \t]*-?\d+[ \t]*)?(?:\[[^\]\n]*\][ \t]*)?:(?!:)")
_NESTED = re.compile(r'[{}]|"(?:\\.|[^"\\])*"?')  # to the end where a text has none
_LEAST = re.compile(r"[?*]|[~{]\s*(\d*)")


class _Token(NamedTuple):
    kind: str
    text: str


def endless_rules(source: str) -> list[str]:
    """The rules that `start` leads to and that have no end, in order; none if it is unclear."""
    reader = _Reader(source)
    try:
        reader.read()
    except (_Unclear, RecursionError):
        return []
    known = ending(reader.productions)
    reached = _reached(reader.productions)
    return [name for name in reader.names if name in reached and name not in known]


def ending(productions: Iterable[tuple[str, frozenset[str]]]) -> set[str]:
    """What has a production all of whose parts have an end, each of them looked at once."""
    found, left, users = list[str](), {}, defaultdict(list)
    known: set[str] = set()
    for i, (head, parts) in enumerate(productions):
        left[i] = len(parts)
        for part in parts:
            users[part].append((i, head))
        if not parts:
            found.append(head)
    while found:
        head = found.pop()
        if head in known:
            continue
        known.add(head)
        for i, user in users[head]:
            left[i] -= 1
            if not left[i]:
                found.append(user)
    return known


def _reached(productions: Iterable[tuple[str, frozenset[str]]]) -> set[str]:
    parts_of: defaultdict[str, set[str]] = defaultdict(set)
    for head, parts in productions:
        parts_of[head] |= parts
    reached, left = set[str](), ["start"]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += parts_of[name]
    return reached


class _Unclear(Exception):
    """A grammar that is not understood here."""


class _Reader:
    """Reads rules as productions: a name, and what each of its alternatives cannot do without.

    Attributes:
        names: of the rules, in order.
        productions: of these, and of the groups within them.
    """

    def __init__(self, source: str) -> None:
        self.names: list[str] = []
        self.productions: list[tuple[str, frozenset[str]]] = []
        self._source, self._at, self._n_groups = source, 0, 0

    def read(self) -> None:
        """All of the grammar."""
        while self._at < len(self._source):
            head = _HEAD.match(self._source, self._at)
            if head is None:
                self._skip_line()
                continue
            self._at = head.end()
            self.names.append(head[1])
            self._alternatives(head[1], "")
        known = set(self.names)
        if any(":" in name for name in known):
            raise _Unclear
        self.productions = [  # terminals, and names that llguidance will miss
            (head, frozenset(part for part in parts if part in known or part.startswith("(")))
            for head, parts in self.productions
        ]

    def _alternatives(self, head: str, closing: str) -> None:
        """Up to a closing bracket, or the next rule."""
        parts, last = set[str](), ""
        while (token := self._next(closing)) is not None:
            if token.kind == "many":
                least = _LEAST.match(token.text)
                if least and not int(least[1] or 0):
                    parts.discard(last)
                continue
            if token.text == "|":
                self.productions.append((head, frozenset(parts)))
                parts = set()
            elif token.text in ("(", "["):
                self._n_groups += 1
                last = f"({self._n_groups}"
                self._alternatives(last, ")" if token.text == "(" else "]")
                if token.text == "(":
                    parts.add(last)
            elif token.kind == "name":
                # A name that comes twice is needed if one of them is.
                self._n_groups += 1
                last = f"({self._n_groups}"
                self.productions.append((last, frozenset([token.text])))
                parts.add(last)
            elif token.kind == "text":
                last = ""
            elif token.text not in "-.":
                raise _Unclear
        self.productions.append((head, frozenset(parts)))

    def _next(self, closing: str) -> _Token | None:
        """The next token of an expression; None at its end."""
        while self._at < len(self._source):
            found = _TOKEN.match(self._source, self._at)
            assert found is not None and found.lastgroup is not None
            kind = found.lastgroup
            if kind == "line" and not closing and self._ends_line(found.end()):
                self._at = found.end()
                return None
            self._at = found.end()
            if kind == "nested":
                self._skip_nested()
                return _Token("text", "")
            if kind in ("name", "text", "many", "other"):
                if closing and found[0] == closing:
                    return None
                if found[0] == ":" or self._source.startswith("::", self._at):
                    raise _Unclear
                return _Token(kind, found[0])
        if closing:
            raise _Unclear
        return None

    def _ends_line(self, at: int) -> bool:
        """Whether another rule or statement begins there."""
        return bool(_HEAD.match(self._source, at)) or self._source.startswith("%", at)

    def _skip_line(self) -> None:
        nested = _TOKEN.match(self._source, self._at)
        if nested is not None and nested.lastgroup == "nested":
            self._at = nested.end()
            self._skip_nested()
            return
        at = self._source.find("\n", self._at)
        self._at = len(self._source) if at < 0 else at + 1

    def _skip_nested(self) -> None:
        depth = 1
        while depth:
            found = _NESTED.search(self._source, self._at)
            if found is None:
                raise _Unclear
            self._at = found.end()
            depth += {"{": 1, "}": -1}.get(found[0], 0)
