"""Values of a key at which a model computes what it would without it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Neutral:
    """Such values: in words, and whether one is among them."""

    text: str
    holds: Callable[[object], bool]


def _is_off(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return not value.any()
    if isinstance(value, list):
        return all(not isinstance(one, list) and _is_off(one) for one in value)
    return not value


def _is_one(value: object) -> bool:
    return value is None or _equal(value, 1)


def _equal(a: object, b: object) -> bool:
    """Numbers by value, an array's all; a truth value is no number."""
    if isinstance(a, np.ndarray):
        return a.dtype.kind in "iuf" and bool((a == b).all())
    return isinstance(a, bool) == isinstance(b, bool) and a == b


OFF = Neutral("nothing, null, false or 0", _is_off)
ONE = Neutral("1", _is_one)


def among(*values: object) -> Neutral:
    """Some values alone; null only where it is one of them."""
    text = " or ".join("null" if value is None else str(value) for value in values)
    return Neutral(text, lambda value: any(_equal(value, one) for one in values))


def each(wanted: object) -> Neutral:
    """A list, of whatever length, of one value; or null."""
    return Neutral(
        f"a list of {wanted} alone",
        lambda value: (
            value is None or (isinstance(value, list) and all(_equal(one, wanted) for one in value))
        ),
    )


def names(text: str) -> frozenset[str]:
    """The words of a table."""
    return frozenset(text.split())
