"""Places in a text as clients count them: characters, or units of UTF-16 or UTF-8.

Editors written in JavaScript count UTF-16; the names are those of LSP's position encodings.
"""

from __future__ import annotations

from typing import Literal

from halfbyte.server.fault import Fault, refused

Unit = Literal["utf-8", "utf-16", "utf-32"]
_CODECS: dict[Unit, tuple[str, int]] = {
    "utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4),
}  # fmt: skip


def n_chars(text: str, n: int, unit: Unit, param: str) -> int:
    """How many characters the first n units of a text are.

    Raises:
        Fault: the text has fewer, or they end within a character; `param` is the field to blame.
    """
    codec, nbytes = _CODECS[unit]
    raw = text.encode(codec)
    if n * nbytes > len(raw):
        raise refused(param, f"at most {len(raw) // nbytes} units of {unit}", n)
    try:
        return len(raw[: n * nbytes].decode(codec))
    except UnicodeDecodeError:
        message = f"{param}: expected the beginning of a character, got {n} units of {unit}"
        raise Fault("invalid_request", message, param=param) from None


def n_units(text: str, n: int, unit: Unit) -> int:
    """How many units the first n characters of a text are."""
    codec, nbytes = _CODECS[unit]
    return len(text[:n].encode(codec)) // nbytes
