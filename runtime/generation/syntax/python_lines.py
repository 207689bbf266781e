"""Lines of Python as their characters tell: indentation, blank ones, what is left open."""

from __future__ import annotations

import re

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)?")
_INDENT = re.compile(r"[ \t\f]*")
_CLAUSE = re.compile(r"(?:else|elif|except|finally|case)\b")
_TOKEN = re.compile(r"#[^\r\n]*|\"\"\"|'''|\"|'|[()\[\]{}]")
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_ENDS = {
    quote: re.compile(rf"(?:\\.|[^\\{'' if len(quote) > 1 else chr(10)}])*?{quote}", re.S)
    for quote in ('"""', "'''", '"', "'")
}


def lines_of(text: str) -> list[str]:
    """The lines with their ends; what follows the last end is one too, if it is not empty."""
    return [line for line in LINE.findall(text) if line]


def whole_lines(text: str) -> str:
    """The text up to its last end of a line."""
    return text[: max(text.rfind("\n"), text.rfind("\r")) + 1]


def width_of(line: str) -> int:
    """The column at which a line begins, as Python counts it."""
    column = 0
    for char in indent_of(line):
        column = 0 if char == "\f" else column + 1 if char == " " else column // 8 * 8 + 8
    return column


def indent_of(line: str) -> str:
    """The white space that it begins with."""
    found = _INDENT.match(line)
    return found[0] if found else ""


def is_code(line: str) -> bool:
    """Whether there is something on it, besides a comment."""
    begun = line.strip()
    return bool(begun) and not begun.startswith("#")


def is_clause(line: str) -> bool:
    """Whether it goes on with a statement that was there before: else and its like."""
    return _CLAUSE.match(line.lstrip()) is not None


def opens_block(line: str) -> bool:
    """Whether a line ends with a colon, as far as one can tell without its beginning."""
    return re.sub(r"#[^\"']*$", "", line).rstrip().endswith(":")


def left_open(text: str) -> str:
    """What would close the brackets and the string that a text leaves open."""
    return "".join(closer for closer, _ in reversed(_open(text)))


def open_since(text: str) -> int:
    """Where the first of these was opened; -1 where none is open."""
    found = _open(text)
    return found[0][1] if found else -1


def _open(text: str) -> list[tuple[str, int]]:
    """What closes each that is open, and where it was opened."""
    opened: list[tuple[str, int]] = []
    at = 0
    while found := _TOKEN.search(text, at):
        token, at = found[0], found.end()
        if token in _CLOSERS:
            opened.append((_CLOSERS[token], found.start()))
        elif token in (")", "]", "}"):
            if opened and opened[-1][0] == token:
                opened.pop()
        elif not token.startswith("#"):
            end = _ENDS[token].match(text, at)
            if end is not None:
                at = end.end()
            elif len(token) > 1 or text.find("\n", at) < 0:
                return [*opened, (token, found.start())]
            # else an apostrophe in something that is no Python
    return opened
