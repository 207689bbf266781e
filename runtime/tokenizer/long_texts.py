"""Long texts in parts that encode independently, so that memory does not grow with the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from halfbyte.errors import TokenizerError

PART = 1 << 20
# What the libraries take at once: 60 bytes of memory a character and more.
_MAX_PART = 1 << 24


def encode(
    text: str, boundary: re.Pattern[str], encode_part: Callable[[str], list[int]]
) -> list[int]:
    """The ids of a text that is encoded in parts, see `parts`."""
    if len(text) <= PART:
        return list(encode_part(text))
    ids: list[int] = []
    known: dict[int, int] = {}  # one object for each id, not for each token: 8 bytes, not 40
    for part in parts(text, boundary):
        ids.extend([known.setdefault(i, i) for i in encode_part(part)])
    return ids


def parts(text: str, boundary: re.Pattern[str]) -> Iterator[str]:
    """The text in order, in parts of about a million characters.

    Args:
        text: any text.
        boundary: matches, with no width, where encoding both sides alone changes nothing.

    Raises:
        TokenizerError: no boundary for 16 million characters.
    """
    begin = 0
    while len(text) - begin > PART:
        match = boundary.search(text, begin + PART)
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
