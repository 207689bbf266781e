"""Text of unknown origin, made fit for a terminal, a log or an error's text.

Names in files, pieces of tokens and answers of models may hold characters that steer a terminal
(window titles, the clipboard, erased lines) or turn the order in which text is read.
"""

from __future__ import annotations

import re

# C0 less tab and line feed, DEL, C1; marks, embeddings, overrides and isolates of writing
# direction, and separators of lines; halves of surrogate pairs; interlinear annotations.
_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    r"\ud800-\udfff\ufff9-\ufffb]"
)


def printable(text: str) -> str:
    r"""The text with each character that steers as an escape: `\x1b`, `\u202e`.

    Tabs and line feeds stay.
    """
    if text.isprintable():
        return text
    return _STEERING.sub(lambda found: _escape(found[0]), text)


def printable_json(text: str) -> str:
    r"""The same for JSON, all of whose escapes are `\u001b`: what it says does not change."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def bounded(text: str, limit: int) -> str:
    """The text, or its beginning and how long it is."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _escape(character: str) -> str:
    number = ord(character)
    short = {"\r": "\\r", "\0": "\\0"}.get(character)
    return short or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")
