"""Values of a caller, checked: numbers in their ranges, texts, ids."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Mapping

from halfbyte.call_arguments import is_whole, literal
from halfbyte.errors import RequestError


def whole(name: str, value: object, what: str = "", low: int = 0) -> int:
    """A whole number of at least `low`, or a RequestError that says `what` was expected."""
    if not is_whole(value) or value < low:
        expected = what or f"a whole number from {low}"
        raise RequestError(name, expected=expected, got=literal(value))
    return int(value)


def real(name: str, value: object, low: float, high: float) -> float:
    """A finite number in a range, or a RequestError."""
    expected = f"a number from {low:g}" + (f" to {high:g}" if high < math.inf else "")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise RequestError(name, expected=expected, got=literal(value))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not low <= number <= high:
        raise RequestError(name, expected=expected, got=literal(value))
    return number


def strings(name: str, value: object) -> tuple[str, ...]:
    """Texts that are not empty, of which one may stand alone, or a RequestError."""
    one = isinstance(value, str)
    items = (value,) if one else _items(name, value, "a string or list of strings")
    for item in items:
        if not isinstance(item, str) or not item:
            raise RequestError(name, expected="strings that are not empty", got=literal(item))
    return tuple(str(item) for item in items)


def ids(name: str, value: object) -> tuple[int, ...]:
    """Token ids, or a RequestError."""
    items = _items(name, value, "a list of token ids")
    return tuple(whole(name, item, "token ids, whole numbers from 0") for item in items)


def _items(name: str, value: object, expected: str) -> tuple[object, ...]:
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(value, Collection):
        raise RequestError(name, expected=expected, got=literal(value))
    try:
        return tuple(value)
    except TypeError as error:  # an array without dimensions
        raise RequestError(name, expected=expected, got=literal(value)) from error
