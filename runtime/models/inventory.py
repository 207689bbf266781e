"""What lies in the folder of models: listed by the names that load it, stamped when used, removed.

When a model was last used is the time of a stamp beside it, an empty file: the file system's own
record of reading is mostly switched off, or kept by backups too.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from halfbyte import settings
from halfbyte.errors import DownloadError, HalfbyteError, RequestError
from halfbyte.gguf.shard_name import models_among, without_number
from halfbyte.lazy_dataclass import dataclass
from halfbyte.models.entries import CATALOGUE, hub_name
from halfbyte.models.model_files import files_of

_STAMP = ".used"


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A model of the cache.

    Attributes:
        name: what loads it: a name of the catalogue, `org/name`, else its path.
        path: its file, of a split model the first.
        license: as the catalogue or the file says; empty where neither does.
        last_used: seconds since 1970, or None where it was never loaded from here.
    """

    name: str
    path: Path
    nbytes: int
    license: str
    last_used: float | None


def stamp(path: Path) -> None:
    """Note that a model of the cache is used now; nothing elsewhere, or where none can be noted."""
    if path.parent == settings.models_dir():
        with contextlib.suppress(OSError):
            _stamp_of(path).touch()


def cached_models() -> Iterator[CachedModel]:
    """The models of the cache, by name.

    Raises:
        SettingError: the cache folder cannot be used.
    """
    names = models_among(path.name for path in settings.models_dir().glob("[!.]*"))
    models = [_describe(settings.models_dir() / name) for name in names]
    yield from sorted(models, key=lambda model: model.name.lower())


def remove(name: str) -> CachedModel:
    """Remove a model, and what pulling left beside it; returns what it was.

    Args:
        name: as `cached_models` gives it, or the file's name or path.

    Raises:
        RequestError: no such model in the cache.
        DownloadError: the system refuses.
    """
    models = list(cached_models())
    found = next((m for m in models if name in (m.name, m.path.name, str(m.path))), None)
    if found is None:
        names = ", ".join(model.name for model in models) or "nothing"
        raise RequestError(
            "model", expected="a model of the cache", got=name, hint=f"it holds {names}"
        )
    try:
        for file in files_of(found.path):
            file.unlink(missing_ok=True)
        # A lock stays: it is of a process that is at work, and its to remove.
        _stamp_of(found.path).unlink(missing_ok=True)
    except OSError as error:
        raise DownloadError(f"{found.path}: cannot be removed: {error.strerror}") from error
    for name in (found.path.name, f"{without_number(found.path.name)}.gguf"):
        for folder in found.path.parent.glob(f".{name}.*.download"):
            shutil.rmtree(folder, ignore_errors=True)
    return found


def _stamp_of(path: Path) -> Path:
    return path.with_name(f".{path.name}{_STAMP}")


def _describe(path: Path) -> CachedModel:
    entry = next((entry for entry in CATALOGUE if entry.file_name == path.name), None)
    name = entry.name if entry is not None else hub_name(path.name) or str(path)
    license = entry.license if entry is not None else ""
    try:
        last_used: float | None = _stamp_of(path).stat().st_mtime
    except OSError:
        last_used = None
    nbytes = sum(file.stat().st_size for file in files_of(path) if file.exists())
    return CachedModel(name, path, nbytes, license or _license(path), last_used)


def _license(path: Path) -> str:
    """What the file itself says."""
    from halfbyte.gguf.file import GGUFFile

    try:
        with GGUFFile.open(path, strict_types=False) as file:
            if "general.license" not in file.metadata:
                return ""
            value = file.metadata.raw("general.license").value
    except HalfbyteError:  # a damaged file is listed too, so that it can be removed
        return ""
    return value if isinstance(value, str) else ""
