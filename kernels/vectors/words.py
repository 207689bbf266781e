"""Words of 64 bits in memory, by name: arguments of jobs, records of stages."""

from __future__ import annotations

from typing import Any


class _Words:
    """Kernels get `table.name` as a number (compiler/helper_compiler.py); `_fields` are the names.

    No namedtuple, of which each takes a tenth of a millisecond to be made.
    """

    def __init__(self, fields: list[str]) -> None:
        self._fields = fields
        vars(self).update((name, 8 * i) for i, name in enumerate(fields))

    def __len__(self) -> int:
        return len(self._fields)


def words(names: str) -> Any:
    """A table of words: each name's offset in bytes, which is a constant in kernels."""
    return _Words(names.split())
