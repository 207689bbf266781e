"""Parts of texts whose ids are known, so that a text that grows is encoded where it is new.

A conversation is sent again with every turn, a file with every keystroke. Texts are encoded in
parts that depend on nothing around them (long_texts.py), so what was a part of an earlier text need
not be encoded again, wherever it stands now.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Hashable

from halfbyte.cache_scope import current_scope

_LEAST = 64  # characters, below which encoding costs no more than looking
_MAX_NBYTES = 16384  # of a part and its ids
_MOST = 1024  # parts in each half: 32 MiB in all at most
_Key = tuple[str | None, Hashable, str]


class KnownParts:
    """The parts that were encoded lately, in each scope (cache_scope.py); used by any thread.

    They lie in two halves. What is used goes to the young one; when that is full, it becomes the
    old one, and what was not used since is forgotten. Each change is one store, so no lock is
    needed: two threads at once may at worst encode a part twice.
    """

    def __init__(self) -> None:
        self._young: dict[_Key, array[int]] = {}
        self._old: dict[_Key, array[int]] = {}

    def ids(
        self, part: str, kind: Hashable, encode: Callable[[str], list[int]]
    ) -> list[int] | array[int]:
        """The ids of a part.

        Args:
            part: a text.
            kind: what else its ids depend on.
            encode: gives them, where they are not known.
        """
        if len(part) < _LEAST:
            return encode(part)
        key = current_scope(), kind, part
        known = self._young.get(key)
        if known is None:
            known = self._old.get(key)
            if known is None:
                known = array("i", encode(part))
            if sys.getsizeof(part) + sys.getsizeof(known) <= _MAX_NBYTES:
                self._keep(key, known)
        return known

    def _keep(self, key: _Key, ids: array[int]) -> None:
        young = self._young
        young[key] = ids
        if len(young) >= _MOST:
            self._old, self._young = young, {}
