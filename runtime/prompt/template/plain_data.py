"""What a caller passes to a template, as plain data: no other code can be reached through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halfbyte.errors import RequestError
from halfbyte.prompt.template.budget import MAX_DATA_DEPTH, NUMBERS, SCALARS, units_of
from halfbyte.prompt.template.text import Text


class PlainData:
    """Copies values as plain data, and measures them in units."""

    def __init__(self) -> None:
        self.units = 0
        # Objects that occur in several places stay shared. The originals are kept for their ids.
        self._copies: dict[int, tuple[object, object]] = {}

    def copy(self, value: object, name: str, depth: int = 0) -> object:
        """The same value, made of exact built-in types."""
        self.units += 1
        if value is None or isinstance(value, (bool, *NUMBERS, str)):
            return self._scalar(value)
        if depth == MAX_DATA_DEPTH:
            raise RequestError(name, expected=f"at most {depth} levels", got="more, or a cycle")
        known = self._copies.get(id(value))
        if known is None:
            known = self._copies[id(value)] = (value, self._container(value, name, depth + 1))
        return known[1]

    def _scalar(self, value: object) -> object:
        if isinstance(value, str):
            # A Text says what counts as the template's; others may have methods of their own.
            text = value if type(value) is Text else str.__str__(value)
            self.units += units_of(text)
            return text
        for kind in NUMBERS:
            if isinstance(value, kind) and not isinstance(value, bool):
                return kind(value)
        return value

    def _container(self, value: object, name: str, depth: int) -> object:
        if isinstance(value, Mapping):
            items = [(self._key(k, name), self.copy(v, name, depth)) for k, v in value.items()]
            return dict(items)
        if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
            copied = [self.copy(item, name, depth) for item in value]
            return tuple(copied) if isinstance(value, tuple) else copied
        kinds = "texts, numbers, None, lists and mappings"
        raise RequestError(name, expected=kinds, got=f"a {type(value).__name__}")

    def _key(self, key: object, name: str) -> object:
        if not isinstance(key, (*SCALARS, bool)):
            raise RequestError(name, expected="texts as keys", got=f"a {type(key).__name__}")
        return self._scalar(key)
