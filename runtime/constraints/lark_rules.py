"""A Lark grammar's rules, as far as they can be read here: what each needs, and how long it is.

Not all of Lark is: what llguidance alone understands, it may say what is wrong with.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import NamedTuple

from halfbyte.constraints.written_out import length_of
from halfbyte.lazy_dataclass import dataclass

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
_ENDLESS = 1 << 40  # characters; a chain of rules that double may have more
_LEAST = re.compile(r"[?*]|[~{]\s*(\d*)")


class _Token(NamedTuple):
    kind: str
    text: str


@dataclass(slots=True)
class Written:
    """An alternative of a rule or group, as it is written.

    Attributes:
        head: whose it is.
        n: characters of its own texts and regular expressions, as often as they come at least.
        uses: other rules and groups, and how often each comes at least where it comes.
    """

    head: str
    n: int = 0
    uses: list[tuple[str, int]] = field(default_factory=list)
    _last: int | None = None  # of a text; None: the last use

    def add(self, n: int) -> None:
        """A text of n characters."""
        self.n, self._last = self.n + n, n

    def use(self, name: str) -> None:
        """Another rule or group."""
        self.uses.append((name, 1))
        self._last = None

    def repeat(self, times: int) -> None:
        """What came last comes so often at least."""
        if self._last is not None:
            self.n += self._last * (times - 1)
            self._last *= times
        elif self.uses:
            name, n = self.uses.pop()
            self.uses.append((name, n * times))


class Unclear(Exception):
    """A grammar that is not understood here."""


class LarkRules:
    """Reads rules as productions: a name, and what each of its alternatives cannot do without.

    Attributes:
        names: of the rules, in order.
        productions: of these, and of the groups within them.
        written: the same alternatives, as they are written.

    Raises:
        Unclear: it is not understood here; RecursionError: its brackets are too deep.
    """

    def __init__(self, source: str) -> None:
        self.names: list[str] = []
        self.productions: list[tuple[str, frozenset[str]]] = []
        self.written: list[Written] = []
        self._source, self._at, self._n_groups = source, 0, 0
        self._read()

    def _read(self) -> None:
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
            raise Unclear
        self.productions = [  # terminals, and names that llguidance will miss
            (head, frozenset(part for part in parts if part in known or part.startswith("(")))
            for head, parts in self.productions
        ]

    def _alternatives(self, head: str, closing: str) -> None:
        """Up to a closing bracket, or the next rule."""
        parts, last, made = set[str](), "", Written(head)
        while (token := self._next(closing)) is not None:
            if token.kind == "many":
                least = _LEAST.match(token.text)
                times = int((least[1] or "")[:9] or 0) if least else 1
                if not times:
                    parts.discard(last)
                made.repeat(max(times, 1))
                continue
            if token.text == "|":
                self._end_alternative(made, parts)
                parts, made = set(), Written(head)
            elif token.text in ("(", "["):
                self._n_groups += 1
                last = f"({self._n_groups}"
                self._alternatives(last, ")" if token.text == "(" else "]")
                made.use(last)
                if token.text == "(":
                    parts.add(last)
            elif token.kind == "name":
                # A name that comes twice is needed if one of them is.
                self._n_groups += 1
                last = f"({self._n_groups}"
                self.productions.append((last, frozenset([token.text])))
                parts.add(last)
                made.use(token.text)
            elif token.kind == "text":
                last = ""
                made.add(_n_chars(token.text))
            elif token.text not in "-.":
                raise Unclear
        self._end_alternative(made, parts)

    def _end_alternative(self, made: Written, parts: set[str]) -> None:
        self.productions.append((made.head, frozenset(parts)))
        self.written.append(made)

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
                return _Token("text", self._source[found.end() : self._at])
            if kind in ("name", "text", "many", "other"):
                if closing and found[0] == closing:
                    return None
                if found[0] == ":" or self._source.startswith("::", self._at):
                    raise Unclear
                return _Token(kind, found[0])
        if closing:
            raise Unclear
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
                raise Unclear
            self._at = found.end()
            depth += {"{": 1, "}": -1}.get(found[0], 0)


def _n_chars(text: str) -> int:
    """Characters of a text, a regular expression or something nested, at least."""
    if text.startswith("/"):
        return length_of(text[1 : text.rindex("/")])
    return len(text)


def lengths(alternatives: Iterable[Written]) -> dict[str, int]:
    """Characters of the longest alternative of each head, with what it uses written out.

    What leads back to where it is used counts as nothing there: only rules can, and of these
    llguidance follows no more than it may at a time. A terminal's text it follows to its end.
    """
    known: dict[str, int] = {}
    written, is_open = defaultdict(list), set[str]()
    for one in alternatives:
        written[one.head].append(one)
    left = list(reversed(written))
    while left:
        head = left[-1]
        if head in known or head in is_open:
            left.pop()
            if head in is_open:
                is_open.remove(head)
                known[head] = max(_length(one, known) for one in written[head])
            continue
        is_open.add(head)
        left += [
            name
            for one in written[head]
            for name, _ in one.uses
            if name in written and name not in known and name not in is_open
        ]
    return known


def _length(alternative: Written, known: Mapping[str, int]) -> int:
    n = alternative.n + sum(times * known.get(name, 0) for name, times in alternative.uses)
    return min(n, _ENDLESS)
