"""GBNF, llama.cpp's way to write grammars, as Lark that llguidance reads.

Both mean the same language. llguidance cuts a text into the longest terminals first and forgets
the other ways to cut it, which GBNF knows nothing of. So a grammar without recursion becomes a
single terminal, and in any other each character is a terminal of its own.

Source of the syntax: llama.cpp's llama-grammar.cpp and grammars/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from graphlib import CycleError, TopologicalSorter
from itertools import chain

from halfbyte.constraints.lark_ends import ending
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass

_RULE = re.compile(r"^[ \t]*([A-Za-z0-9-]+)[ \t]*::=", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9-]+")
_COUNTS = re.compile(r"\{\s*(\d+)\s*(,?)\s*(\d*)\s*\}")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_OR_LINE = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", **{c: c for c in '\\"[]-'}}
_HEX = {"x": 2, "u": 4, "U": 8}
_MAX_TIMES = 2000  # as in llama.cpp
_MAX_DEPTH = 100


def is_gbnf(text: str) -> bool:
    """Whether a grammar is GBNF; Lark's rules are `name: ...`."""
    return _RULE.search(text) is not None


def to_lark(text: str) -> str:
    """The same grammar as Lark.

    Raises:
        RequestError: what is not well-formed, has no end or is not to be had in Lark, by its name.
    """
    rules = _Parser(text).rules()
    if "root" not in rules:
        raise RequestError("grammar", expected="a rule root", got=", ".join(rules))
    for name, rule in rules.items():
        for other in rule.references():
            if other not in rules:
                raise RequestError("grammar", expected=f"a rule {other}", got=f"none, in {name}")
    _check_ends(rules)
    is_flat = not _is_recursive(rules)
    names = {name: f"{'R' if is_flat else 'r'}{i}" for i, name in enumerate(rules)}
    lines = [f"{names[name]}: {rule.lark(names, is_flat)}" for name, rule in rules.items()]
    return "\n".join([f"start: {names['root']}", *lines])


@dataclass(slots=True)
class _Node:
    """A part of a rule: alternatives of sequences, repeated; or a set of characters, or a name.

    Attributes:
        ways: the alternatives, each a sequence.
        regex: a character of this set, where it is one.
        name: the rule, where it is one.
        least, most: how often it comes; None is any number.
    """

    ways: list[list[_Node]] = field(default_factory=list)
    regex: str = ""
    name: str = ""
    least: int = 1
    most: int | None = 1

    def references(self) -> Iterator[str]:
        """Names of the rules in it."""
        if self.name:
            yield self.name
        for way in self.ways:
            for node in way:
                yield from node.references()

    def productions(self, head: str) -> Iterator[tuple[str, frozenset[str]]]:
        """What each of its alternatives cannot do without, of it as `head`; see lark_ends.py."""
        if self.least == 0 or self.regex:
            yield head, frozenset()
        elif self.name:
            yield head, frozenset([self.name])
        else:
            for i, way in enumerate(self.ways):
                parts = {f"{head} {i}.{j}": node for j, node in enumerate(way)}
                yield head, frozenset(parts)
                for part, node in parts.items():
                    yield from node.productions(part)

    def lark(self, names: dict[str, str], is_flat: bool) -> str:
        """As Lark; a regular expression's parts have to be terminals."""
        if self.regex:
            text = f"/{self.regex}/"
        elif self.name:
            text = names[self.name]
        else:
            ways = [" ".join(n.lark(names, is_flat) for n in way) or '""' for way in self.ways]
            text = f"({' | '.join(ways)})"
        if (self.least, self.most) == (1, 1):
            return text
        if self.most is None and self.least < 2:
            return f"{text}{'*+'[self.least]}"
        return f"{text}{{{self.least},{'' if self.most is None else self.most}}}"


class _Parser:
    """Reads a grammar's text."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def rules(self) -> dict[str, _Node]:
        """All rules by name."""
        found: dict[str, _Node] = {}
        self._skip(_SPACE_OR_LINE)
        while self._at < len(self._text):
            name = self._take(_NAME, "a rule's name")
            self._skip(_SPACE)
            self._expect("::=")
            self._skip(_SPACE_OR_LINE)
            found[name] = self._alternatives(0)
            if self._at < len(self._text) and self._next not in "\r\n":
                raise self._error("the end of the rule")
            self._skip(_SPACE_OR_LINE)
        return found

    def _alternatives(self, depth: int) -> _Node:
        if depth > _MAX_DEPTH:
            raise RequestError("grammar", expected="brackets 100 deep at most", got="deeper ones")
        ways = [self._sequence(depth)]
        while self._next == "|":
            self._at += 1
            self._skip(_SPACE_OR_LINE)
            ways.append(self._sequence(depth))
        return _Node(ways)

    def _sequence(self, depth: int) -> list[_Node]:
        nodes: list[_Node] = []
        space = _SPACE_OR_LINE if depth else _SPACE
        while self._next and self._next not in "|)\r\n":
            char = self._next
            if char == '"':
                nodes.append(self._literal())
            elif char == "[":
                nodes.append(_Node(regex=self._set()))
            elif char == ".":
                self._at += 1
                nodes.append(_Node(regex=r"(.|\n)"))
            elif char == "(":
                self._at += 1
                self._skip(_SPACE_OR_LINE)
                nodes.append(self._alternatives(depth + 1))
                self._expect(")")
            elif char in "*+?{" and nodes:
                self._repeat(nodes[-1])
            elif char in "<!":
                hint = "its text in quotes can stand there where it has one"
                raise self._error("no token by its id or name (not to be had here)", hint=hint)
            else:
                nodes.append(_Node(name=self._take(_NAME, "a text, a set, a name or (")))
            self._skip(space)
        return nodes

    def _literal(self) -> _Node:
        self._at += 1
        characters: list[_Node] = []
        while self._next != '"':
            characters.append(_Node(regex=_set_of([(char := self._char(), char)])))
        self._at += 1
        return _Node([characters])

    def _set(self) -> str:
        self._at += 1
        is_not = self._next == "^"
        self._at += is_not
        ranges: list[tuple[str, str]] = []
        while self._next != "]":
            first = last = self._char()
            if self._next == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                last = self._char()
            if last < first:
                raise self._error("a range from the lower character to the higher")
            ranges.append((first, last))
        self._at += 1
        if not ranges:
            raise self._error("a set of characters that is not empty")
        return _set_of(ranges, is_not)

    def _repeat(self, node: _Node) -> None:
        if (node.least, node.most) != (1, 1):  # a second mark: what was repeated is
            node.ways = [[_Node(node.ways, node.regex, node.name, node.least, node.most)]]
            node.regex = node.name = ""
        mark = self._next
        if mark != "{":
            self._at += 1
            node.least, node.most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[mark]
            return
        found = _COUNTS.match(self._text, self._at)
        if found is None:
            raise self._error("{m}, {m,} or {m,n}")
        self._at = found.end()
        node.least = int(found[1])
        node.most = int(found[3]) if found[3] else None if found[2] else node.least
        if max(node.least, node.most or 0) > _MAX_TIMES:
            raise self._error(f"at most {_MAX_TIMES} repetitions")
        if node.most is not None and node.most < node.least:
            raise self._error("{m,n} with m up to n")

    def _char(self) -> str:
        char = self._next
        if not char:
            raise self._error("the end of a text or set")
        self._at += 1
        if char != "\\":
            return char
        kind = self._next
        self._at += 1
        if kind in _ESCAPES and kind:
            return _ESCAPES[kind]
        digits = self._text[self._at : self._at + _HEX.get(kind, 0)]
        try:
            made = chr(int(digits, 16))
            made.encode()
        except (ValueError, OverflowError):
            self._at -= 2
            raise self._error("an escape that names a character") from None
        self._at += len(digits)
        return made

    @property
    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _take(self, pattern: re.Pattern[str], what: str) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._error(what)
        self._at = found.end()
        return found[0]

    def _expect(self, text: str) -> None:
        if not self._text.startswith(text, self._at):
            raise self._error(repr(text))
        self._at += len(text)

    def _error(self, expected: str, hint: str = "") -> RequestError:
        line = self._text.count("\n", 0, self._at) + 1
        got = f"{self._text[self._at : self._at + 20]!r} in line {line}"
        return RequestError("grammar", expected=expected, got=got, hint=hint)


def _set_of(ranges: list[tuple[str, str]], is_not: bool = False) -> str:
    """A set of characters as a regular expression."""
    parts = [escaped(a) if a == b else f"{escaped(a)}-{escaped(b)}" for a, b in ranges]
    return f"[{'^' * is_not}{''.join(parts)}]"


def escaped(char: str) -> str:
    """A character as a regular expression writes it."""
    return char if char.isascii() and char.isalnum() else f"\\x{{{ord(char):X}}}"


def _check_ends(rules: dict[str, _Node]) -> None:
    """Refuse rules that no finite text meets."""
    known = ending(chain.from_iterable(rule.productions(name) for name, rule in rules.items()))
    reached, left = set[str](), ["root"]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += rules[name].references()
    endless = [name for name in rules if name in reached - known]
    if endless:
        expected = "rules that a finite text meets"
        raise RequestError("grammar", expected=expected, got=", ".join(endless))


def _is_recursive(rules: dict[str, _Node]) -> bool:
    """Whether any rule contains itself."""
    try:
        TopologicalSorter({name: set(r.references()) for name, r in rules.items()}).prepare()
    except CycleError:
        return True
    return False
