"""The environment variables of halfbyte, parsed in this one place.

    HALFBYTE_CACHE     folder for pulled models and compiled kernels
    HALFBYTE_THREADS   number of threads, from 1
    HALFBYTE_ISA       instruction set to compile for, such as avx2 or generic

An empty value counts as unset; any other value that cannot be used is a SettingError that names
the variable. Nothing is read at import, and nothing is written to the environment here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from halfbyte.errors import SettingError
from halfbyte.import_lock import importing

CACHE_VARIABLE = "HALFBYTE_CACHE"
THREADS_VARIABLE = "HALFBYTE_THREADS"
ISA_VARIABLE = "HALFBYTE_ISA"

MAX_THREADS = 1024


def cache_dir() -> Path:
    """The folder that holds all cached files; neither made nor checked for write access here.

    HALFBYTE_CACHE if set (a leading `~` is expanded, a relative path is taken from the current
    folder), else the user cache folder of the platform.

    Raises:
        SettingError: something that is not a folder lies there, or no home folder is known.
    """
    value = os.environ.get(CACHE_VARIABLE)
    if not value:
        return _user_cache_dir()
    try:
        path = Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise SettingError(CACHE_VARIABLE, expected="a folder", got=value) from error
    if os.path.exists(path) and not os.path.isdir(path):  # pathlib's raise where one may not look
        raise SettingError(CACHE_VARIABLE, expected="a folder, not a file", got=value)
    return path


def models_dir() -> Path:
    """The folder of pulled and converted models, not made here: inside `cache_dir()`, if none is
    chosen.
    """
    return _models_dir.get() or cache_dir() / "models"


@contextmanager
def models_in(folder: Path | None) -> Iterator[None]:
    """Have this thread's models pulled into another folder; None changes nothing."""
    if folder is None:
        yield
        return
    token = _models_dir.set(folder.expanduser().absolute())
    try:
        yield
    finally:
        _models_dir.reset(token)


_models_dir: ContextVar[Path | None] = ContextVar("models_dir", default=None)


def threads() -> int | None:
    """HALFBYTE_THREADS, or None where it is unset.

    Raises:
        SettingError: not a whole number from 1 to 1024.
    """
    value = os.environ.get(THREADS_VARIABLE)
    if not value:
        return None
    # Digits of other scripts, which int() reads, are none here.
    count = int(value) if re.fullmatch(r"\s*[0-9]{1,9}\s*", value) else 0
    if not 1 <= count <= MAX_THREADS:
        raise SettingError(
            THREADS_VARIABLE, expected=f"a whole number from 1 to {MAX_THREADS}", got=value
        )
    return count


def isa() -> str | None:
    """HALFBYTE_ISA in lower case, or None where it is unset.

    Which names there are, and which this CPU has, is for the kernels to say.

    Raises:
        SettingError: not a plain name of letters, digits, `_`, `-` and `.`.
    """
    value = os.environ.get(ISA_VARIABLE)
    if not value:
        return None
    name = value.strip().lower()
    if not re.fullmatch(r"[a-z0-9_.-]+", name):
        raise SettingError(ISA_VARIABLE, expected="the name of an instruction set", got=value)
    return name


def _user_cache_dir() -> Path:
    """Where the platform keeps files that can be fetched or made again."""
    with importing:
        import platformdirs
    try:
        return platformdirs.user_cache_path("halfbyte", appauthor=False, opinion=False)
    except RuntimeError as error:
        raise SettingError(
            CACHE_VARIABLE, hint="there is no home folder, so name a folder for the cache"
        ) from error
