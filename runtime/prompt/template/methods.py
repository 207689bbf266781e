"""Methods of texts, lists, dicts and loops that a template may call, each with its price."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import count
from string import Formatter
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext

from halfbyte.prompt.template.budget import MAX_NAME, SCALARS, Budget, units_of
from halfbyte.prompt.template.operators import PRECISION, Operators
from halfbyte.prompt.template.text import Text, join, own, tracked

_SPEC = re.compile(r"(?:.?[<>=^])?[-+ ]?#?0?\d{0,3}[,_]?(?:\.\d{1,3})?[a-zA-Z%]?")
# Methods of texts whose result is no larger than the text; their arguments are searched for.
_SCANS = (
    "strip lstrip rstrip startswith endswith find rfind index rindex count removeprefix "
    "removesuffix partition rpartition isdigit isalpha isalnum isspace isupper islower isnumeric "
    "isdecimal istitle isidentifier isascii"
).split()
# These try each character of their argument at each place.
_BACKWARD = "rfind rindex rpartition strip lstrip rstrip".split()
_WORD = re.compile(r"\S+")
_CASES = "upper lower title capitalize casefold swapcase".split()


class Methods:
    """Methods that draw on a budget."""

    def __init__(self, budget: Budget, operators: Operators) -> None:
        self._budget = budget
        self._operators = operators

    def by_type(self) -> dict[type, dict[str, Callable[..., Any]]]:
        """The methods by the type of what they belong to; each takes it as its first argument."""
        text: dict[str, Callable[..., Any]] = {
            "splitlines": self._splitlines, "replace": self.replace, "join": self.join,
            "format": self._format,
        }  # fmt: skip
        text |= {name: partial(self._split, name) for name in ("split", "rsplit")}
        text |= {name: partial(self.scan, name) for name in _SCANS}
        text |= {name: partial(self.change_case, name) for name in _CASES}
        found: dict[str, Callable[..., Any]] = {
            name: partial(self._find, name) for name in ("index", "count")
        }
        views = {name: getattr(dict, name) for name in ("items", "keys", "values")}
        loop: dict[str, Callable[..., Any]] = {
            "cycle": LoopContext.cycle, "changed": self._changed,
        }  # fmt: skip
        return {
            str: text, list: found, tuple: found, LoopContext: loop,
            dict: {"get": self._get, **views},
        }  # fmt: skip

    def scan(self, name: str, text: str, *args: Any) -> Any:
        """One of the methods whose result is no larger than the text."""
        words = [word for arg in args for word in (arg if isinstance(arg, tuple) else (arg,))]
        wanted = sum(len(word) for word in words if isinstance(word, str))
        if name in _BACKWARD:
            self._budget.spend_backward_search(text, wanted)
        else:
            self._budget.spend_search(text, wanted)
        self._budget.spend(len(words))
        return getattr(tracked(text, *args), name)(*args)

    def change_case(self, name: str, text: str) -> str:
        """upper, lower and their kin."""
        self._budget.spend_change(text, 3)  # ΐ has three capitals
        return str(getattr(text, name)())

    def _split(self, name: str, text: str, sep: str | None = None, maxsplit: int = -1) -> Any:
        if name == "rsplit":
            self._budget.spend_backward_search(text, len(sep or ""))
        self._budget.spend_search(text, len(sep or ""))
        self._budget.spend(len(text) // 8)
        pieces = text.count(sep) if sep else sum(1 for _ in _WORD.finditer(text))
        self._budget.spend(6 * (pieces if maxsplit < 0 else min(pieces, maxsplit)) + units_of(text))
        return getattr(text, name)(sep, maxsplit)

    def _splitlines(self, text: str, keepends: bool = False) -> list[str]:
        self._budget.spend_lines(text, 0)
        return text.splitlines(keepends)

    def replace(self, text: str, old: str, new: str, count: int = -1) -> str:
        """`text.replace(old, new, count)`."""
        self._budget.spend_search(text, len(old))
        n = text.count(old) if count < 0 else min(text.count(old), count)
        self._budget.spend_text(len(text) + n * max(0, len(new) - len(old)), text, new)
        self._budget.spend(6 * n)
        return tracked(text, new).replace(old, new, count)

    def join(self, separator: str, values: object) -> str:
        """`separator.join(values)`."""
        parts = list(self._budget.each(values))
        self._budget.spend(len(parts))
        length = sum(len(part) for part in parts if isinstance(part, str))
        texts = [part for part in parts if isinstance(part, str)]
        self._budget.spend_text(length + len(separator) * len(parts), separator, *texts)
        return join(separator, parts)

    def _format(self, text: str, /, *args: object, **kwargs: object) -> str:
        """str.format for plain fields: names or numbers, without attributes or items."""
        literally = own if isinstance(text, Text) and text.is_own else str
        pieces: list[str] = []
        unnamed = count()
        for literal, field, spec, conversion in Formatter().parse(text):
            self._budget.spend(2)
            pieces.append(literally(literal))
            if field is None:
                continue
            if conversion not in (None, "s") or not re.fullmatch(r"\d{0,3}|[^\W\d]\w*", field):
                raise SecurityError("format fields are names or numbers here")
            if field == "" or field.isdecimal():
                value = args[int(field or next(unnamed))]
            else:
                value = kwargs[field]
            pieces.append(self._format_field(value, spec or ""))
        return self._budget.concat(pieces)

    def _format_field(self, value: object, spec: str) -> str:
        if not spec or not isinstance(value, SCALARS):
            return self._budget.text(value)
        if not _SPEC.fullmatch(spec):
            raise ValueError(f"format specification {spec[:MAX_NAME]!r} is not plain")
        self._budget.spend(64 + self._budget.walk(value) + PRECISION * ("." in spec))
        return format(value, spec)

    def _find(self, name: str, values: Any, wanted: object, *ends: int) -> Any:
        self._budget.walk(values)
        self._budget.walk(wanted)
        return getattr(values, name)(wanted, *ends)

    def _get(self, values: dict[Any, Any], key: object, default: object = None) -> object:
        return values.get(self._operators.lookup(values, key), default)

    def _changed(self, loop: LoopContext, *values: object) -> bool:
        self._budget.walk(values)
        return loop.changed(*values)
