"""Warnings about files: what was said of a source is not said again of the file made of it.

A conversion reads its result back, more than once, before it has its name.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_said: ContextVar[tuple[str | os.PathLike[str], set[str]] | None] = ContextVar("said", default=None)


@contextmanager
def said_once(source: str | os.PathLike[str]) -> Iterator[None]:
    """Each warning but once within the block; those about a `.part` file name the source."""
    token = _said.set((source, set()))
    try:
        yield
    finally:
        _said.reset(token)


def warn_about(log: logging.Logger, path: str | os.PathLike[str], text: str, *args: object) -> None:
    """Log a warning that begins with a file's path."""
    said = _said.get()
    if said is not None:
        source, texts = said
        if text % args in texts:
            return
        texts.add(text % args)
        path = source if os.fspath(path).endswith(".part") else path
    log.warning(f"%s: {text}", path, *args)
