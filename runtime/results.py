"""What results have in common: a dictionary for JSON, and texts that fit a line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from os import PathLike, fspath
from typing import Any

_MOST_SHOWN = 60


class Result:
    """A base of dataclasses that a caller gets."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Fields and properties by name, for JSON: numbers that are not finite are None."""
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        names += [n for n, value in _members(type(self)).items() if isinstance(value, property)]
        return {name: _plain(getattr(self, name)) for name in names}


def shown(text: str) -> str:
    """A text as a literal, its middle left out where it is long."""
    if len(text) <= _MOST_SHOWN:
        return repr(text)
    half = _MOST_SHOWN // 2
    return f"{text[:half]!r}...{text[-half:]!r}"


def _members(kind: type) -> dict[str, object]:
    """What the classes define, the base's first."""
    found: dict[str, object] = {}
    for one in reversed(kind.__mro__):
        found.update((n, value) for n, value in vars(one).items() if not n.startswith("_"))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        if hasattr(value, "name"):  # as formats of tensors have
            return value.name
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, float) and not math.isfinite(value):  # which JSON does not have
        return None
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
