"""JSON as its text has it: members in order, doubled keys, numbers and depths of any size."""

from __future__ import annotations

import json
from typing import Any


class Members(list[list[Any]]):
    """An object: [key, value] pairs, in which a key may come twice."""

    def get(self, key: str) -> Any:
        """The first value of a key, or None."""
        return next((value for name, value in self if name == key), None)

    def put(self, key: str, value: Any) -> None:
        """Set the value of a key, which may be new."""
        for pair in self:
            if pair[0] == key:
                pair[1] = value
                return
        self.append([key, value])

    def drop(self, key: str) -> None:
        """Leave a key out."""
        self[:] = [pair for pair in self if pair[0] != key]


class Raw(str):
    """A value, or a whole text, as it shall stand there."""


def parse(text: str) -> Any:
    """A well-formed text's value."""
    return json.loads(text, object_pairs_hook=lambda pairs: Members(map(list, pairs)))


def members(value: Any) -> Any:
    """Python's own objects as `parse` would give them."""
    return parse(json.dumps(value))


def dump(value: Any, *, indent: str = "", ascii: bool = False) -> str:
    """The text of a value; `indent` puts white space between all tokens."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Members):
        pairs = [f"{dump(k, ascii=ascii)}:{indent}{dump(v, indent=indent, ascii=ascii)}"
                 for k, v in value]  # fmt: skip
        return "{" + indent + f",{indent}".join(pairs) + indent + "}"
    if isinstance(value, list):
        items = [dump(item, indent=indent, ascii=ascii) for item in value]
        return "[" + indent + f",{indent}".join(items) + indent + "]"
    if isinstance(value, float):
        return json.dumps(value)
    return json.dumps(value, ensure_ascii=ascii)
