"""Words of 64 bits in memory, by name: arguments of jobs, records of stages."""

from __future__ import annotations

from collections import namedtuple
from typing import Any


def words(names: str) -> Any:
    """A table of words: each name's offset in bytes, which is a constant in kernels."""
    fields = names.split()
    return namedtuple("words", fields)(*range(0, 8 * len(fields), 8))
