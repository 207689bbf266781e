"""Texts that remember who wrote them: the template, or whoever gave what it shows.

A special token is meant where the template spells it, and is plain text where a message does. An
exact str was given; a Text has a mask, a byte a character, which is 1 where the template wrote. So
what an operation cannot follow is plain text, and never becomes a special token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, SupportsIndex

_RUN = re.compile(rb"\x00+|\x01+")


class Text(str):
    """A text of which some characters are the template's own; its methods keep track."""

    __slots__ = ("mask",)
    mask: bytes

    def __new__(cls, text: str, mask: bytes) -> Text:
        """`mask` is as long as the text."""
        made = super().__new__(cls, text)
        made.mask = mask
        return made

    def __str__(self) -> str:
        """Itself: Jinja's code calls str() on what it writes."""
        return self

    @property
    def is_own(self) -> bool:
        """Whether the template wrote all of it."""
        return b"\0" not in self.mask

    def spans(self) -> list[tuple[int, int]]:
        """Begin and end of each part that the template wrote."""
        return [run.span() for run in _RUN.finditer(self.mask) if run[0][0]]

    def changed(self, change: Callable[[str], str]) -> str:
        """The text after a change that gives at least a character for each; given if in doubt."""
        whole = change(plain(self))
        if len(whole) == len(self):
            return Text(whole, self.mask)
        runs = [run.span() for run in _RUN.finditer(self.mask)]
        parts = [change(plain(self)[begin:end]) for begin, end in runs]
        if "".join(parts) != whole:  # a letter's neighbours mattered
            return whole
        made = (self.mask[run[0] : run[0] + 1] * len(p) for run, p in zip(runs, parts, strict=True))
        return Text(whole, b"".join(made))

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        if not isinstance(key, slice):
            at = range(len(self))[key]
            key = slice(at, at + 1)
        return Text(super().__getitem__(key), self.mask[key])

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __add__(self, other: str) -> str:
        return join("", [self, other])

    def __radd__(self, other: str) -> str:
        return join("", [other, self])

    def __mul__(self, count: SupportsIndex) -> str:
        return Text(super().__mul__(count), self.mask * count)

    __rmul__ = __mul__

    def lstrip(self, chars: str | None = None, /) -> str:
        """As str's."""
        return self[len(self) - len(super().lstrip(chars)) :]

    def rstrip(self, chars: str | None = None, /) -> str:
        """As str's."""
        return self[: len(super().rstrip(chars))]

    def strip(self, chars: str | None = None, /) -> str:
        """As str's."""
        return self.lstrip(chars).rstrip(chars)

    def removeprefix(self, prefix: str, /) -> str:
        """As str's."""
        return self[len(self) - len(super().removeprefix(prefix)) :]

    def removesuffix(self, suffix: str, /) -> str:
        """As str's."""
        return self[: len(super().removesuffix(suffix))]

    def partition(self, sep: str, /) -> Any:
        """As str's."""
        return tuple(self._located(super().partition(sep)))

    def rpartition(self, sep: str, /) -> Any:
        """As str's."""
        return tuple(self._located(super().rpartition(sep)))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> Any:
        """As str's."""
        return list(self._located(super().split(sep, maxsplit), sep))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> Any:
        """As str's."""
        return list(self._located(super().rsplit(sep, maxsplit), sep))

    def splitlines(self, keepends: bool = False) -> Any:
        """As str's."""
        lines = self._located(super().splitlines(keepends=True))
        if keepends:
            return list(lines)
        bare = super().splitlines()
        return [line[: len(text)] for line, text in zip(lines, bare, strict=True)]

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        """As str's."""
        if old:
            return join(new, self.split(old, count))
        n = len(self) + 1 if count.__index__() < 0 else min(count.__index__(), len(self) + 1)
        return join(new, ["", *self[: n - 1], self[n - 1 :]]) if n else self

    def _located(self, parts: Iterable[str], gap: str | None = "") -> Iterator[str]:
        """The parts as they lie in the text: that far from each other, or None: white space."""
        at = 0
        for part in parts:
            if gap is None:
                at = self.find(part, at)
            yield self[at : at + len(part)]
            at += len(part) + len(gap or "")


def _case(name: str) -> Callable[[Text], str]:
    def method(self: Text) -> str:
        change: Callable[[str], str] = getattr(str, name)
        return self.changed(change)

    method.__doc__ = "As str's."
    return method


for _name in ("upper", "lower", "title", "capitalize", "casefold", "swapcase"):
    setattr(Text, _name, _case(_name))


def own(text: str) -> Text:
    """A text that the template wrote."""
    return Text(text, b"\1" * len(text))


def plain(text: str) -> str:
    """The characters alone."""
    return str.__str__(text)


def mask_of(text: str) -> bytes:
    """A byte a character: 1 where the template wrote it."""
    return text.mask if isinstance(text, Text) else bytes(len(text))


def tracked(text: str, *others: object) -> str:
    """The text, as a Text if one of the others is one: its methods then take part in tracking."""
    if isinstance(text, Text) or not any(isinstance(other, Text) for other in others):
        return text
    return Text(text, mask_of(text))


def join(separator: str, parts: list[str]) -> str:
    """`separator.join(parts)`."""
    whole = str.join(plain(separator), parts)
    if not isinstance(separator, Text) and not any(isinstance(part, Text) for part in parts):
        return whole
    return Text(whole, mask_of(separator).join(map(mask_of, parts)))
