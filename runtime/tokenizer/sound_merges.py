"""Vocabularies whose merges are all pairs of their pieces, remembered by what is in them.

Only a model of all merges can find one that is wrong. Once it was made, the SHA-256 of the pieces
and merges is the name of an empty file in the cache: whatever has the same name is as sound.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from halfbyte import settings
from halfbyte.gguf.strings import Strings

log = logging.getLogger(__name__)


def is_sound(pieces: Strings, merges: Strings) -> bool:
    """Whether they were found to be."""
    return _mark(pieces, merges).exists()


def now_sound(pieces: Strings, merges: Strings) -> None:
    """Remember that they are."""
    mark = _mark(pieces, merges)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        log.info("%s: a vocabulary is not remembered: %s", mark.parent, str(error))


def _mark(pieces: Strings, merges: Strings) -> Path:
    digest = hashlib.sha256()
    for strings in (pieces, merges):
        digest.update(f"{len(strings)} {len(strings.data)}\n".encode())
        digest.update(strings.data + strings.lengths.astype("<i4").tobytes())
    return settings.cache_dir() / "vocabularies" / digest.hexdigest()
