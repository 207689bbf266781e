"""Names of files: those made from other names, and those that the system refuses."""

from __future__ import annotations

import os
import re

_MAX_NBYTES = 120  # beside endings; file systems take 255 bytes in all, some 143
_NO_NAME = re.compile(r"[\0-\x1f/\\:*?\"<>|\x7f]+")


def refusal(path: str | os.PathLike[str]) -> str:
    """What speaks against a path where nothing can be found or made; empty where nothing does."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return "a link to nothing" if os.path.islink(path) else ""
    except (OSError, ValueError) as error:  # too long, a loop of links, below a file, forbidden
        return str(getattr(error, "strerror", "") or error)
    return ""


def cut_name(name: str, max_nbytes: int = _MAX_NBYTES) -> str:
    """The beginning of a name, of whole characters."""
    raw = os.fsencode(name)
    return name if len(raw) <= max_nbytes else raw[:max_nbytes].decode(errors="ignore")


def file_name(text: str, otherwise: str = "model") -> str:
    """A text as a file's name: nothing in it that a path or another system has a meaning for."""
    plain = text.encode(errors="replace").decode()
    return cut_name(_NO_NAME.sub("-", plain).lstrip("-. ").rstrip("- ")) or otherwise
