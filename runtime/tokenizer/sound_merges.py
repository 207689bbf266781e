"""Vocabularies whose merges are all pairs of their pieces, remembered by what is in them.

Only a model of all merges can find one that is wrong. Once it was made, the SHA-256 of the pieces
and merges is the name of an empty file in the cache: whatever has the same name is as sound.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from halfbyte import settings
from halfbyte.errors import SettingError
from halfbyte.gguf.strings import Strings

log = logging.getLogger(__name__)


def is_sound(pieces: Strings, merges: Strings) -> bool:
    """Whether they were found to be; not where there is no cache that can be read."""
    try:
        return os.path.exists(_mark(pieces, merges))
    except SettingError:  # who needs a cache says so; a vocabulary does not
        return False


def now_sound(pieces: Strings, merges: Strings) -> None:
    """Remember that they are."""
    try:
        mark = _mark(pieces, merges)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except (OSError, SettingError) as error:
        log.info("a vocabulary is not remembered: %s", str(error))


def _mark(pieces: Strings, merges: Strings) -> Path:
    digest = hashlib.sha256()
    for strings in (pieces, merges):
        digest.update(f"{len(strings)} {len(strings.data)}\n".encode())
        digest.update(strings.data + strings.lengths.astype("<i4").tobytes())
    return settings.cache_dir() / "vocabularies" / digest.hexdigest()
