"""Filters that a template may use, each with its price."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from jinja2 import Environment, Undefined, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext

from halfbyte.prompt.template.budget import (
    ITERABLES,
    MAX_NAME,
    NUMBERS,
    SEQUENCES,
    Budget,
    ListIterator,
)
from halfbyte.prompt.template.methods import Methods
from halfbyte.prompt.template.operators import Operators
from halfbyte.prompt.template.text import Text, join, own, tracked

MAX_NUMBER = 1_000  # characters of a number in a text

_LENGTHS: Any = (*ITERABLES, LoopContext)
_SELECTING = "map select reject selectattr rejectattr".split()
_SORTING = "sort unique min max".split()


class Filters:
    """Filters that draw on a budget."""

    def __init__(
        self, environment: Environment, budget: Budget, operators: Operators, methods: Methods
    ) -> None:
        self._environment = environment
        self._budget = budget
        self._operators = operators
        self._methods = methods

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """The filters by the names that a source gives them."""
        filters: dict[str, Callable[..., Any]] = {
            "tojson": self._tojson, "trim": self._trim, "replace": self._replace_any,
            "join": self._join, "format": self._printf_filter, "indent": self._indent,
            "default": FILTERS["default"], "d": FILTERS["default"], "title": self._title,
            "length": self._length, "count": self._length, "first": self._first,
            "last": self._last, "list": self._list, "items": self._items,
            "reverse": self._reverse, "dictsort": self._dictsort, "batch": self._batch,
            "sum": self._sum, "round": self._round, "abs": self._abs,
            "string": self._budget.text, "safe": self._budget.text,
        }  # fmt: skip
        filters |= {name: partial(self._parse, name) for name in ("int", "float")}
        filters |= {name: partial(self._case, name) for name in ("upper", "lower", "capitalize")}
        filters |= {name: self._escape for name in ("e", "escape", "forceescape")}
        filters |= {name: pass_context(partial(self._select, name)) for name in _SELECTING}
        filters |= {name: partial(self._sort, name) for name in _SORTING}
        return filters

    def _tojson(
        self, value: object, ensure_ascii: bool = False, indent: int | str | None = None,
        separators: Sequence[str] | None = None, sort_keys: bool = False,
    ) -> str:  # fmt: skip
        width = len(indent) if isinstance(indent, str) else indent or 0
        if width > 16 or len("".join(separators or ())) > 16:
            raise ValueError("tojson takes an indent and separators of at most 16 characters")
        units = self._budget.walk(value, 12 if ensure_ascii else 6, indent=max(width, 0) + 1)
        self._budget.spend(0 if indent is None else 8 + units)  # not in C then
        pair = None if separators is None else (separators[0], separators[1])
        return json.dumps(
            value, ensure_ascii=bool(ensure_ascii), indent=indent, separators=pair,
            sort_keys=bool(sort_keys),
        )  # fmt: skip

    def _trim(self, value: object, chars: str | None = None) -> str:
        return str(self._methods.scan("strip", self._budget.text(value), chars))

    def _replace_any(
        self, value: object, old: object, new: object, count: int | None = None
    ) -> str:
        texts = self._budget.text(value), self._budget.text(old), self._budget.text(new)
        return self._methods.replace(*texts, -1 if count is None else count)

    def _case(self, name: str, value: object) -> str:
        return self._methods.change_case(name, self._budget.text(value))

    def _title(self, value: object) -> str:
        text = self._budget.text(value)
        self._budget.spend_change(text, 3)
        self._budget.spend(4 * len(text))  # as many words as characters
        return _changed(text, FILTERS["title"])

    def _escape(self, value: object) -> str:
        text = self._budget.text(value)
        self._budget.spend_change(text, 6)
        return _changed(text, lambda part: str(FILTERS["escape"](part)))

    def _indent(
        self, value: object, width: int | str = 4, first: bool = False, blank: bool = False
    ) -> str:
        if not isinstance(value, str):
            raise TypeError("indent takes a text")
        self._budget.spend(12)
        self._budget.spend_lines(value, len(width) if isinstance(width, str) else width)
        indention = width if isinstance(width, str) else own(" " * width)
        lines = (tracked(value, own("")) + own("\n")).splitlines()
        margins = [indention if line or blank else "" for line in lines]
        margins[0] = indention if first else ""
        parts = [part for pair in zip(margins, lines, strict=True) for part in (*pair, own("\n"))]
        return join("", parts[:-1])

    def _join(self, value: object, d: object = "", attribute: str | int | None = None) -> str:
        items: Iterable[object] = self._budget.each(value)
        if attribute is not None:
            items = (self._path(item, attribute) for item in items)
        return self._methods.join(self._budget.text(d), [self._budget.text(item) for item in items])

    def _path(self, value: Any, attribute: str | int) -> Any:
        """`a.0.b` of a value."""
        parts = attribute.split(".") if isinstance(attribute, str) else [attribute]
        self._budget.spend(6 * len(parts))
        for part in parts:
            is_index = isinstance(part, str) and part.isdigit() and len(part) < MAX_NAME
            value = self._environment.getitem(value, int(part) if is_index else part)
        return value

    def _printf_filter(self, value: object, *args: object, **kwargs: object) -> str:
        if args and kwargs:
            raise TypeError("format takes positional or named values, not both")
        return self._operators.printf(self._budget.text(value), kwargs or args)

    def _length(self, value: Any) -> int:
        if isinstance(value, _LENGTHS):
            return len(value)
        raise TypeError(f"a {type(value).__name__} has no length")

    def _first(self, value: object) -> Any:
        nothing = self._environment.undefined("No first item, sequence was empty.")
        return next(self._budget.each(value), nothing)

    def _last(self, value: Any) -> Any:
        if isinstance(value, ListIterator):
            raise TypeError("an iterator has no last item: the filter list is missing")
        items = value if isinstance(value, SEQUENCES) else self._list(value)
        nothing = self._environment.undefined("No last item, sequence was empty.")
        return items[-1] if items else nothing

    def _list(self, value: object) -> list[Any]:
        return list(self._budget.each(value))

    def _items(self, value: object) -> Iterator[Any]:
        if isinstance(value, Undefined):
            return iter([])
        if not isinstance(value, dict):
            raise TypeError("items takes a mapping")
        self._budget.spend(3 * len(value))
        return iter(list(value.items()))

    def _reverse(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._operators.slice(value, None, None, -1)
        items = self._list(value)[::-1]
        return items if isinstance(value, ListIterator) else iter(items)

    def _dictsort(self, value: object, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, dict):
            raise TypeError("dictsort takes a mapping")
        self._spend_sort(self._budget.walk(value), len(value))
        return list(FILTERS["dictsort"](value, *args, **kwargs))

    def _sort(self, name: str, value: object, *args: Any, **kwargs: Any) -> Any:
        """sort, unique, min and max: Jinja's own, paid for."""
        items = self._list(value)
        for arg in (*args, *kwargs.values()):
            if isinstance(arg, str):  # the path of an attribute
                self._budget.spend(2 * (1 + len(items)) * (8 + len(arg)))
        self._spend_sort(self._budget.walk(items), len(items))
        if name == "unique":
            self._budget.spend_hashing(items)
        result = FILTERS[name](self._environment, items, *args, **kwargs)
        return iter(list(result)) if name == "unique" else result

    def _spend_sort(self, units: int, length: int) -> None:
        self._budget.spend(4 * units * (1 + length.bit_length()))

    def _batch(self, value: object, linecount: int, fill_with: object = None) -> Iterator[Any]:
        items = self._list(value)
        self._budget.spend(4 * len(items) + max(linecount, 0))
        return iter(list(FILTERS["batch"](items, linecount, fill_with)))

    def _sum(self, value: object, attribute: str | int | None = None, start: Any = 0) -> Any:
        if isinstance(start, str):
            raise TypeError("sum adds no texts: use join")
        for item in self._budget.each(value, 3):
            number = item if attribute is None else self._path(item, attribute)
            start = self._operators.binary("+", start, number)
        return start

    def _parse(self, name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        # CPython reads numbers in quadratic time.
        if isinstance(value, str):
            if len(value) > MAX_NUMBER:
                raise ValueError(f"a number of {len(value)} characters")
            self._budget.spend(len(value) // 4)
        return FILTERS[name](value, *args, **kwargs)

    def _round(self, value: Any, precision: int = 0, method: str = "common") -> Any:
        if not isinstance(value, (*NUMBERS, Undefined)) or abs(precision) > 100:
            raise TypeError("round takes a number, and a precision of at most 100")
        return FILTERS["round"](value, precision, method)

    def _abs(self, value: Any) -> Any:
        if not isinstance(value, (*NUMBERS, Undefined)):
            raise TypeError("abs takes a number")
        return abs(value)

    def _select(
        self, name: str, context: Context, value: object, *args: Any, **kwargs: Any
    ) -> Iterator[Any]:
        """map, select and their kin: Jinja's own, on the filters and tests of the sandbox."""
        items = list(self._budget.each(value, 6)) if value else []
        for name_or_path in (*args[:1], kwargs.get("attribute")):
            if isinstance(name_or_path, str):
                self._budget.spend(3 * len(items) * len(name_or_path))
        if name == "map" and args and str(args[0]).startswith(" "):
            raise SecurityError("no such filter")
        return iter(list(FILTERS[name](context, items, *args, **kwargs)))


def _changed(text: str, change: Callable[[str], str]) -> str:
    return text.changed(change) if isinstance(text, Text) else change(text)
