"""The budget of one rendering: units of work and memory, taken before they are used.

A unit stands for less than a microsecond, or 32 bytes.
"""

from __future__ import annotations

import copy
import operator
import re
from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from itertools import chain
from typing import Any, cast

from jinja2 import Undefined
from jinja2.runtime import LoopContext

from halfbyte.prompt.template.text import Text, join, mask_of

UNIT_NBYTES = 32
BITS_PER_UNIT = 64  # of whole numbers
COMPARISONS_PER_UNIT = 1000  # of characters
LARGE = 4096  # characters
MAX_DATA_DEPTH = 64
MAX_NAME = 200  # characters

NUMBERS = (int, float)
SCALARS = (str, int, float, type(None))
SEQUENCES = (str, list, tuple, range)
# Filters that would be generators give list iterators: alike in use, but their work is done, and
# none is nested in another (CPython recurses through nested iterators without a check).
ListIterator: Any = type(iter([]))
CONTAINERS: Any = (list, tuple, dict, KeysView, ValuesView, ItemsView, ListIterator)
ITERABLES: Any = (str, range, *CONTAINERS, Undefined)

_LINE_ENDS = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


class OverBudget(Exception):
    """The rendering has used up its units."""


class Lent(Text):
    """A large text, which gives its units back when nothing refers to it any more."""

    __slots__ = ("_budget", "_units")
    _budget: Budget
    _units: int

    def __new__(cls, text: Text, budget: Budget, units: int) -> Lent:
        """The same text, which has cost so many units."""
        made = cast(Lent, super().__new__(cls, text, text.mask))
        made._budget, made._units = budget, units
        return made

    def __del__(self) -> None:
        self._budget.take_back(self._units)


def units_of(text: str, growth: int = 1) -> int:
    """What a text measures, or one that so many times as many characters come of."""
    return growth * len(text) * _width(text) // UNIT_NBYTES


def _width(*texts: str) -> int:
    """Bytes of a character, and of its place in the mask."""
    return 2 if all(text.isascii() for text in texts) else 5


class Budget:
    """What is left to one rendering."""

    def __init__(self, units: int) -> None:
        self._left = units

    def spend(self, units: int) -> None:
        """Takes units from the budget, before the work is done."""
        # A negative price would fill the budget up.
        self._left -= max(units, 0)
        if self._left < 0:
            raise OverBudget

    def spend_text(self, length: int, *made_of: str) -> None:
        """Pays for a text of some length."""
        self.spend(1 + length * _width(*made_of) // UNIT_NBYTES)

    def spend_sequence(self, length: int, *made_of: Any) -> None:
        """Pays for a text, list or tuple of some length."""
        if isinstance(made_of[0], str):
            self.spend_text(length, *made_of)
        else:
            self.spend(1 + length // 4)

    def spend_search(self, text: str, wanted: int) -> None:
        """Pays for a search from the left for that many characters.

        CPython tries each at each place only where these are less than 100, or the text is short.
        """
        self.spend(1 + units_of(text, 1 + min(wanted, 100) // 8) + wanted // UNIT_NBYTES)

    def spend_backward_search(self, text: str, wanted: int) -> None:
        """Pays for a search from the right, or in a set: each is tried at each place."""
        self.spend_search(text, wanted)
        self.spend(len(text) * wanted // COMPARISONS_PER_UNIT)

    def spend_change(self, text: str, growth: int) -> None:
        """Pays for a text in which each character may become so many."""
        self.spend_text(growth * len(text), text)
        self.spend(8 * mask_of(text).count(b"\0\1"))  # changed one by one in the worst case

    def spend_hashing(self, keys: Iterable[object]) -> None:
        """Pays for keys that are put into a dict or a set, or looked up there.

        Python's hashes of texts are salted; of the rest, a template may give thousands alike.
        """
        n = sum(1 for key in keys if not isinstance(key, str))
        self.spend(n * n // 16)

    def spend_lines(self, text: str, width: int) -> None:
        """Pays for the lines of a text, each widened by so much."""
        self.spend(1 + len(text) // 8)
        n_lines = sum(1 for _ in _LINE_ENDS.finditer(text)) + 1
        self.spend(6 * n_lines + 2 * units_of(text) + n_lines * max(width, 0) * 4 // UNIT_NBYTES)

    def walk(
        self, value: object, growth: int = 1, *, indent: int = 0, is_text: bool = False
    ) -> int:
        """Pays for a look at a value and all that it contains, once per path to it.

        Args:
            value: anything.
            growth: how many characters may come of one, where the value will be written.
            indent: how far it will be indented at each level.
            is_text: whether objects without a text are refused.

        Returns:
            The units.
        """
        before, level = self._left, [value]
        for depth in range(MAX_DATA_DEPTH):
            below: list[object] = []
            for item in level:
                self.spend(1 + indent * depth // UNIT_NBYTES)
                if isinstance(item, str):
                    self.spend(units_of(item, growth))
                elif isinstance(item, float):
                    self.spend(3)  # for its digits
                elif isinstance(item, int):
                    self.spend(item.bit_length() // BITS_PER_UNIT)
                elif isinstance(item, range):
                    self.spend(len(item))  # read through where a text is looked for in it
                elif isinstance(item, CONTAINERS):
                    below.extend(self._children(item))
                elif is_text and not isinstance(item, (*SCALARS, range, Undefined)):
                    raise TypeError(f"a {type(item).__name__} has no text")
            if not below:
                return before - self._left
            level = below
        raise ValueError(f"data nested deeper than {MAX_DATA_DEPTH} levels")

    def _children(self, value: Any) -> Iterable[object]:
        self.spend(4 + 2 * operator.length_hint(value))
        if isinstance(value, (KeysView, ItemsView)):
            self.spend_hashing(value.mapping)  # type: ignore[union-attr]
        if isinstance(value, dict):
            self.spend_hashing(value)
            return chain(value, value.values())
        # Reading must not use an iterator up.
        items: Iterable[object] = copy.copy(value) if type(value) is ListIterator else value
        return items

    def each(self, value: Any, units: int = 1) -> Iterator[Any]:
        """The items of an iterable, each paid for."""
        if isinstance(value, LoopContext) or not isinstance(value, ITERABLES):
            raise TypeError(f"a {type(value).__name__} is not iterable")
        price = units + 6 * isinstance(value, str)  # each character is a new text
        for item in value:
            self.spend(price)
            yield item

    def text(self, value: object) -> str:
        """The text that a value is written as."""
        if isinstance(value, str):
            return value
        if isinstance(value, SCALARS):
            self.spend(4 + (value.bit_length() // BITS_PER_UNIT if isinstance(value, int) else 0))
            return str(value)
        # Within a container, one character may be written as ten.
        self.walk(value, 10, is_text=True)
        if isinstance(value, ListIterator):
            raise TypeError("an iterator has no text: the filter list is missing")
        return str(value)

    def concat(self, pieces: Iterable[str]) -> str:
        """The text of a body."""
        parts = list(pieces)
        length = sum(map(len, parts))
        self.spend_text(length, *parts)
        made = join("", parts)
        if length < LARGE or not isinstance(made, Text):
            return made
        # Templates that add message after message to one text copy it each time.
        return Lent(made, self, length * _width(*parts) // UNIT_NBYTES * 15 // 16)

    def take_back(self, units: int) -> None:
        """Puts back what was paid for memory that is free again; a sixteenth was for the time."""
        self._left += units
