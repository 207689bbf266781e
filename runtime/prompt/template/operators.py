"""Operators, each with the price of what it reads and what it would make."""

from __future__ import annotations

import builtins
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import Undefined

from halfbyte.prompt.template.budget import (
    BITS_PER_UNIT,
    NUMBERS,
    SCALARS,
    SEQUENCES,
    Budget,
    units_of,
)
from halfbyte.prompt.template.text import Text, join, own, plain

MAX_INT_BITS = 4096
PRECISION = 256  # units of a number's digits, of which there may be a thousand

_PRINTF = re.compile(r"%(?:\((\w{1,99})\))?[-#0 +]{0,5}\d{0,3}(?:\.\d{0,3})?[diouxXeEfFgGcrsa%]")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod, "**": operator.pow,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lteq": operator.le,
    "gt": operator.gt, "gteq": operator.ge,
    "in": lambda left, right: left in right, "notin": lambda left, right: left not in right,
}  # fmt: skip


class Operators:
    """Operators that draw on a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def binary(self, symbol: str, left: Any, right: Any) -> Any:
        """`left symbol right`, for + - * / // % and **."""
        if isinstance(left, NUMBERS) and isinstance(right, NUMBERS):
            self._budget.spend(_int_bits(symbol, left, right) // BITS_PER_UNIT)
        elif symbol == "%" and isinstance(left, str):
            return self.printf(left, right)
        elif symbol == "+" and isinstance(left, str) and isinstance(right, str):
            return self._budget.concat([left, right])
        elif symbol == "+" and type(left) is type(right) and isinstance(left, (list, tuple)):
            self._budget.spend_sequence(len(left) + len(right), left, right)
        elif symbol == "*" and isinstance(left, int) and isinstance(right, (str, list, tuple)):
            self._budget.spend_sequence(left * len(right), right)
        elif symbol == "*" and isinstance(right, int) and isinstance(left, (str, list, tuple)):
            self._budget.spend_sequence(right * len(left), left)
        elif not isinstance(left, Undefined) and not isinstance(right, Undefined):
            kinds = f"{_kind(left)} and {_kind(right)}"
            raise TypeError(f"operator {symbol} takes no {kinds}")
        return _OPERATORS[symbol](left, right)

    def slice(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """`value[start:stop:step]`."""
        part = builtins.slice(start, stop, step)
        if isinstance(value, Undefined):
            return value[part]
        if not isinstance(value, SEQUENCES):
            raise TypeError(f"a {type(value).__name__} has no slices")
        made_of = value if isinstance(value, str) else ()
        self._budget.spend_sequence(len(range(*part.indices(len(value)))), made_of)
        return value[part]

    def concat(self, *values: object) -> str:
        """`a ~ b ~ c`."""
        return self._budget.concat([self._budget.text(value) for value in values])

    def compare(self, left: Any, *rest: Any) -> Any:
        """`a < b < c`, as a, "lt", b, "lt", c."""
        result: Any = True
        for symbol, right in zip(rest[::2], rest[1::2], strict=True):
            result = self.compare_two(symbol, left, right)
            if not result:
                break
            left = right
        return result

    def compare_two(self, symbol: str, left: Any, right: Any) -> Any:
        """`left symbol right`, for == != < <= > >= in and `notin`, by Jinja's names."""
        if symbol in ("in", "notin") and isinstance(left, str) and isinstance(right, str):
            self._budget.spend_search(right, len(left))
        else:
            self._budget.walk(left)
            self._budget.walk(right)
        return _OPERATORS[symbol](left, right)

    def key(self, key: object) -> object:
        """A dict's key: hashed, so only scalars, since a tuple may be as large as you like."""
        if not isinstance(key, SCALARS):
            raise TypeError(f"a {type(key).__name__} cannot be a key")
        return key

    def lookup(self, values: dict[Any, Any], key: object) -> object:
        """A key that is looked up: at worst, one that is no text meets all the others."""
        if not isinstance(key, str):
            self._budget.spend(len(values) // 16)
        return self.key(key)

    def printf(self, text: str, values: Any) -> str:
        """`text % values`, whose widths and precisions have at most three digits."""
        self._budget.spend_search(text, 8)
        n_fields = n_precise = n_signs = 0
        for field in _PRINTF.finditer(text):
            n_fields += 1
            n_precise += "." in field[0]
            n_signs += field[0].count("%")
        if text.count("%") > n_signs:
            raise ValueError("a format's widths have three digits at most, and no stars")
        units = self._budget.walk(values, 10, is_text=True)
        self._budget.spend(n_fields * (units + 64) + n_precise * PRECISION + units_of(text))
        whole = str.__mod__(plain(text), values)
        followed = join("", list(_printf_pieces(text, values)))
        return followed if followed == whole else whole


def _kind(value: object) -> str:
    return "str" if isinstance(value, str) else type(value).__name__


def _printf_pieces(text: str, values: Any) -> Iterator[str]:
    """What str's % makes a text of, piece by piece, where every %s is a text as it is."""
    literal = own if isinstance(text, Text) and text.is_own else str
    unnamed = iter(values if isinstance(values, tuple) else (values,))
    begin = 0
    for field in _PRINTF.finditer(text):
        yield literal(plain(text)[begin : field.start()])
        begin = field.end()
        if field[0] == "%%":
            yield literal("%")
            continue
        value = values[field[1]] if field[1] else next(unnamed)
        is_itself = field[0].endswith(")s") or field[0] == "%s"
        yield value if is_itself and isinstance(value, str) else _without_name(field) % (value,)
    yield literal(plain(text)[begin:])


def _without_name(field: re.Match[str]) -> str:
    return field[0].replace(f"({field[1]})", "", 1) if field[1] else field[0]


def _int_bits(symbol: str, left: Any, right: Any) -> int:
    """The size of a whole number that is about to be computed; one of thousands of digits fails."""
    if not isinstance(left, int) or not isinstance(right, int):
        return 0
    n, m = left.bit_length(), right.bit_length()
    bits = max(n, m)
    if symbol == "*":
        bits = n + m
    elif symbol == "**":
        bits = max(bits, n * max(right, 0))
    if bits > MAX_INT_BITS:
        raise OverflowError(f"whole numbers have at most {MAX_INT_BITS} bits here")
    return bits
