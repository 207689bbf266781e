"""Texts in parts that encode independently: so memory does not grow with a long text, and of others
the parts that were encoded before are known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator

from halfbyte.errors import TokenizerError
from halfbyte.tokenizer.known_parts import KnownParts

PART = 1 << 20
KNOWN_PART = 1 << 10  # of a text that is no longer than PART
_AT_ONCE = 1 << 14  # of a longer one: while a library encodes, no other thread of Python runs
# What the libraries take at once: 60 bytes of memory a character and more.
_MAX_PART = 1 << 24


def encode(
    text: str,
    boundary: Callable[[], re.Pattern[str]],
    encode_part: Callable[[str], list[int]],
    known: KnownParts,
    kind: Hashable = None,
) -> list[int]:
    """The ids of a text that is encoded in parts, see `parts`.

    Args:
        text: not empty.
        boundary: gives where it may be cut; finding that out takes longer than a short text does.
        encode_part: gives the ids of a part.
        known: parts of earlier texts.
        kind: what the ids of a part depend on beside its text.
    """
    ids: list[int] = []
    if len(text) <= KNOWN_PART:
        ids.extend(known.ids(text, kind, encode_part))
        return ids
    if len(text) <= PART:
        for part in parts(text, boundary(), KNOWN_PART):
            ids.extend(known.ids(part, kind, encode_part))
        return ids
    objects: dict[int, int] = {}  # one object for each id, not for each token: 8 bytes, not 40
    for part in parts(text, boundary(), min(_AT_ONCE, PART)):
        ids.extend([objects.setdefault(i, i) for i in encode_part(part)])
    return ids


def parts(text: str, boundary: re.Pattern[str], size: int) -> Iterator[str]:
    """The text in order, in parts of `size` characters or somewhat more.

    Where texts agree from some place on, their parts soon do.

    Args:
        text: any text.
        boundary: matches, with no width, where encoding both sides alone changes nothing.
        size: from there on the first boundary ends a part.

    Raises:
        TokenizerError: no boundary for 16 million characters.
    """
    begin = 0
    while len(text) - begin > size:
        match = boundary.search(text, begin + size)
        end = match.start() if match else len(text)
        yield _checked(text[begin:end])
        begin = end
    if begin < len(text):
        yield _checked(text[begin:])


def _checked(part: str) -> str:
    if len(part) > _MAX_PART:
        raise TokenizerError(
            f"text: expected a word to end within {_MAX_PART} characters, got {len(part)} without"
        )
    return part
