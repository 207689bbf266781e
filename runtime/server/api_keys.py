"""Who may ask: named keys from a file that only its user can read, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Mapping

from halfbyte.errors import SettingError

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_SHORTEST = 8  # characters of a key
_MOST_NBYTES = 1 << 20


class ApiKeys:
    """The keys of a server.

    Args:
        keys: the names by key.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        # Of one length, whatever the keys' is.
        self._names = [(_digest(key), name) for key, name in keys.items()]

    def __bool__(self) -> bool:
        return bool(self._names)

    def name_of(self, key: str) -> str | None:
        """Whose key it is; None where it is nobody's. Takes as long either way."""
        given, found = _digest(key), None
        for digest, name in self._names:
            if hmac.compare_digest(digest, given):
                found = name
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def read_keys(path: str) -> dict[str, str]:
    """The names of a file of keys, by key: lines of `name:key`; empty ones and # are left out.

    Raises:
        SettingError: it cannot be read, others can read it, or a line is none of these.
    """
    lines = _private_text(path).splitlines()
    keys: dict[str, str] = {}
    for i, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        name, colon, key = line.partition(":")
        name, key = name.strip(), key.strip()
        if not colon or _NAME.fullmatch(name) is None or not _is_key(key):
            expected = f"name:key, the key of {_SHORTEST} characters at least, without blanks"
            raise _unfit(path, expected, f"something else in line {i}")
        if key in keys or name in keys.values():
            raise _unfit(path, "each name and each key once", f"another one in line {i}")
        keys[key] = name
    if not keys:
        raise _unfit(path, "a key at least", "none")
    return keys


def _is_key(key: str) -> bool:
    return len(key) >= _SHORTEST and key.isascii() and key.isprintable() and " " not in key


def _private_text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if os.name == "posix":
                if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    mode = f"mode {stat.S_IMODE(status.st_mode):o}"
                    raise _unfit(path, "a file that others cannot read", mode, f"chmod 600 {path}")
                if status.st_uid not in (os.geteuid(), 0):
                    raise _unfit(path, "a file of this user", f"one of user {status.st_uid}")
            data = file.read(_MOST_NBYTES + 1)
            if len(data) > _MOST_NBYTES:
                raise _unfit(path, f"at most {_MOST_NBYTES:,} bytes of keys", "a larger one")
            return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise _unfit(path, "a file of keys that can be read", said) from error


def _unfit(path: str, expected: str, got: str, hint: str = "") -> SettingError:
    return SettingError("--api-key-file", expected=expected, got=f"{path}: {got}", hint=hint)
