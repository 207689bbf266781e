"""What of a text around a cursor has a say in whether a middle parses: as little as possible.

A whole file is never parsed while an answer is generated. Once, before it begins, the nearest
places at the margin are looked for before and after the cursor, so that the rest of the file is
whole without what lies between; then, with something in the cursor's place that parses, statements
beside those that the cursor stands in are replaced by `pass`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from halfbyte.generation.syntax.python_lines import (
    indent_of,
    is_clause,
    is_code,
    left_open,
    lines_of,
    whole_lines,
)
from halfbyte.generation.syntax.python_parser import can_go_on, parses, tree_of
from halfbyte.lazy_dataclass import dataclass

_MOST_TRIES = 8  # places at the margin, on either side
_MOST_PARSED = 1_000_000  # characters, for something that may stand in the cursor's place
_DROPPED = "pass\n"
# What a line with a cursor may turn out to be.
_LINES = (
    "pass", "if _:", "else:", "except:", "except _:", "finally:", "elif _:", "case _:", "def _():",
    "while _:", "@_", "match _:", "\'\'\'", '"""', "(", "[", "{", "_ = (", "_ = [", "_ = {", "_(",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PythonScope:
    """The texts that stand for a prefix and a suffix when a middle is checked."""

    before: str
    after: str

    @classmethod
    def of(cls, prefix: str, suffix: str) -> PythonScope | None:
        """Those of a cursor; None where nothing in its place would parse."""
        before, after = _block_before(prefix), _block_after(suffix)
        head = whole_lines(before)
        if "\0" in before + after or not can_go_on(head):
            return None
        begun, rest = before[len(head) :], (lines_of(after) or [""])[0]
        tail = after[len(rest) :]
        n_left = _MOST_PARSED
        for line in _placeholders(head, begun, rest):
            n_left -= len(head) + len(tail)
            if n_left < 0:  # nobody waits for the rest of them
                return cls(before, after)
            if parses(head + line + tail):
                made = _reduced(head, line, tail)
                # A decorator may become a line of its own, and then needs what it stands before.
                kept = tail if rest.lstrip().startswith("@") else made.after
                return cls(made.before + begun, rest + kept)
        return None if after.strip() else cls(before, after)

    def takes(self, middle: str) -> bool:
        """Whether the whole parses with it."""
        return parses(self.before + middle + self.after)

    def can_go_on(self, middle: str) -> bool:
        """Whether it can, with more; of a middle that ends with a line."""
        return can_go_on(self.before + middle)


@lru_cache(maxsize=16)  # while somebody types, what lies beyond the block stays the same
def _is_whole(text: str) -> bool:
    """Whether it is a module; of a very long text that is taken for granted."""
    return len(text) > _MOST_PARSED or parses(text)


def _block_before(prefix: str) -> str:
    """From the nearest line at the margin before which all is whole."""
    lines = lines_of(prefix)
    end, n_tries = len(prefix), 0
    for line in reversed(lines):
        end -= len(line)
        if _is_at_margin(line) and n_tries < _MOST_TRIES:
            n_tries += 1
            if _is_whole(prefix[:end]):
                return prefix[end:]
    return prefix


def _block_after(suffix: str) -> str:
    """Up to the nearest line at the margin from which on all is whole."""
    lines = lines_of(suffix)
    at, n_tries = 0, 0
    for line in lines:
        if at and _is_at_margin(line) and n_tries < _MOST_TRIES:
            n_tries += 1
            if _is_whole(suffix[at:]):
                return f"{suffix[:at]}pass\n"
        at += len(line)
    return suffix


def _is_at_margin(line: str) -> bool:
    return is_code(line) and line[0] not in " \t\f)]}\"'" and not is_clause(line)


def _placeholders(head: str, begun: str, rest: str) -> Iterator[str]:
    """What might stand in place of the cursor's line so that the whole parses; likely ones first.

    Args:
        head: the lines before it.
        begun: the line's beginning, before the cursor.
        rest: its end, after the cursor.
    """
    indents = [indent_of(begun if begun.strip() else begun + rest)]
    code = [line for line in lines_of(head) if is_code(line)]
    if code:
        indents += [indent_of(code[-1]), indent_of(code[-1]) + " "]
    yield from (f"{indent}pass\n" for indent in dict.fromkeys(indents))
    if not begun.strip():
        yield from (begun + rest, f"{begun}pass\n{begun}{rest.lstrip()}")
    close = left_open(head)
    for indent in dict.fromkeys(indents):
        if close:
            yield from (f"{indent}{text}\n" for text in (close, "", "_", f"_{close}"))
        yield from (f"{indent}{text}\n" for text in _LINES)
    close = left_open(head + begun)
    yield from (f"{begun}{text}{close}{rest}" for text in ("", "_", " pass"))


def _reduced(head: str, line: str, tail: str) -> PythonScope:
    """What is before and after a line, with fewer statements, where that still parses."""
    tree = tree_of(head + line + tail)
    first = len(lines_of(head)) + 1
    last = first + max(len(lines_of(line)), 1) - 1
    dropped = list(_beside(tree.body, first, last)) if tree is not None else []
    before = _without(lines_of(head), 1, dropped)
    after = _without(lines_of(tail), first + len(lines_of(line)), dropped)
    if parses(before + line + after):
        return PythonScope(before, after)
    return PythonScope(head, tail)


def _beside(body: list[ast.stmt], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """First and last line of statements that have no say in what stands in lines begin .. end.

    The last statement before these lines has: they may go on with its block.
    """
    n_before = sum((statement.end_lineno or 0) < begin for statement in body)
    is_last = n_before == len(body) or _first_line(body[n_before]) >= begin
    for i, statement in enumerate(body):
        first, last = _first_line(statement), statement.end_lineno or 0
        if first > end or (last < begin and not (is_last and i == n_before - 1)):
            yield first, last
            continue
        for name in ("body", "orelse", "finalbody"):
            part = getattr(statement, name, [])
            if isinstance(part, list):
                yield from _beside(part, begin, end)
        for name in ("handlers", "cases"):
            for clause in getattr(statement, name, []):
                yield from _beside(clause.body, begin, end)


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _without(lines: list[str], number: int, dropped: list[tuple[int, int]]) -> str:
    """The lines, from that number on, with `pass` for the first of each run of statements."""
    kinds: dict[int, str] = {}
    for first, last in dropped:
        kinds[first] = "pass"
        kinds.update(dict.fromkeys(range(first + 1, last + 1), ""))
    made: list[str] = []
    for n, line in enumerate(lines, number):
        kind = kinds.get(n)
        if kind is None and (line.strip() or not made or not made[-1].endswith(_DROPPED)):
            made.append(line)
        elif kind:
            text = f"{indent_of(line)}{_DROPPED}"
            if not made or made[-1] != text:
                made.append(text)
    return "".join(made)
