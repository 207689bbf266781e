"""The ids of a conversation's calls of functions, as templates can take them."""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile("[A-Za-z0-9]{9}")  # what Mistral's templates want, and `chat` makes


def plain_id(given: str, prefix: str) -> str:
    """An id of nine letters and digits: our own without its prefix, or one made of a foreign one.

    Equal ids stay equal, so that results find their calls.
    """
    own = given.removeprefix(prefix)
    if _PLAIN.fullmatch(own):
        return own
    return hashlib.sha256(given.encode()).hexdigest()[:9]
