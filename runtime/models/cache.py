"""The folder of pulled models: made on first use, worked on by one process at a time per model.

The lock keeps two processes from fetching the same gigabytes; that no half-written file gets a
final name does not hang on it, since files come there by a rename. It ends with its process, so a
crash leaves nothing locked, and its file goes with the work. Where the file system has no locks,
work goes on without.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from halfbyte.errors import DownloadError, HalfbyteError, SettingError
from halfbyte.settings import CACHE_VARIABLE

if TYPE_CHECKING:
    from filelock import BaseFileLock

_log = logging.getLogger(__name__)

_CHUNK_NBYTES = 1 << 20
_POLL_S = 0.2


@contextmanager
def model_lock(target: Path) -> Iterator[bool]:
    """Make the target's folder and keep other processes from pulling to the same target.

    Waits for them as long as it takes; Ctrl-C ends the wait. Yields whether this process is alone
    for certain, which it is not on a file system without locks.

    Raises:
        SettingError: the folder cannot be made or written.
    """
    from filelock import FileLock  # takes a while to import, and a model that is there needs none

    path = target.with_name(f".{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise unusable_folder(target.parent, error) from error
    # A soft lock in the place of none would outlast a process that is killed.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        _wait(lock, target)
    except OSError as error:
        _log.info("no lock for %s (%s): going on without", target, error)
    try:
        yield lock.is_locked
    finally:
        # Removed while it is held: who gets it next sees that it is gone, and makes another.
        with contextlib.suppress(OSError):  # on Windows it is open
            path.unlink()
        lock.release()


def unusable_folder(folder: Path, error: OSError) -> SettingError:
    """The error for a cache folder that the system refuses."""
    return SettingError(
        CACHE_VARIABLE,
        expected="a folder for models that can be written",
        got=f"{folder} ({error.strerror or error})",
    )


@contextmanager
def os_errors(name: str) -> Iterator[None]:
    """Turn what the system says meanwhile, such as a full disk, into a DownloadError."""
    try:
        yield
    except HalfbyteError:  # some are OSErrors too
        raise
    except OSError as error:
        raise DownloadError(f"{name}: {error}") from error


def remove_folders(parent: Path, pattern: str, *, but: Path | None = None) -> None:
    """Remove what earlier pulls left: the folders that match, except for one."""
    for folder in parent.glob(pattern):
        if folder != but:
            shutil.rmtree(folder, ignore_errors=True)


def check_space(folder: Path, nbytes: int, name: str) -> None:
    """DownloadError where the folder's disk has less room than that."""
    free = shutil.disk_usage(folder).free
    if free < nbytes:
        raise DownloadError(
            f"{name}: needs {nbytes / 1e9:.1f} GB in {folder}, {free / 1e9:.1f} GB are free",
            hint=f"free some, or set {CACHE_VARIABLE} to a folder on another disk",
        )


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_NBYTES):
            digest.update(chunk)
    return digest.hexdigest()


def check_sha256(name: str, what: str, expected: str, got: str) -> None:
    """DownloadError unless the two hashes are one."""
    if got != expected:
        raise DownloadError(
            f"{name}: {what}: expected SHA-256 {expected}, got {got}",
            hint="the file changed on the way or at its source",
        )


def size_of_files(folder: Path) -> int:
    """Bytes of all files in a folder that others write to at the moment."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.stat(os.path.join(parent, name)).st_size
            except OSError:  # moved meanwhile
                continue
    return size


def _wait(lock: BaseFileLock, target: Path) -> None:
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        _log.warning("waiting for another process that pulls %s", target)
        lock.acquire(poll_interval=_POLL_S)
