"""The folder of pulled models: made on first use, worked on by one process at a time per model.

The lock keeps two processes from fetching the same gigabytes; that no half-written file gets a
final name does not hang on it, since files come there by a rename. It ends with its process, so a
crash leaves nothing locked. Where the file system has no locks, work goes on without.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from halfbyte.errors import DownloadError, SettingError
from halfbyte.settings import CACHE_VARIABLE

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
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f".{target.name}.lock")
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise unusable_folder(target.parent, error) from error
    try:
        held = _wait(handle, target)
        try:
            yield held
        finally:
            if held:
                _unlock(handle)
    finally:
        os.close(handle)


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
    except OSError as error:
        raise DownloadError(f"{name}: {error}") from error


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


def _wait(handle: int, target: Path) -> bool:
    announced = False
    while True:
        try:
            if _try_lock(handle):
                return True
        except OSError as error:
            _log.info("no lock for %s (%s): going on without", target, error)
            return False
        if not announced:
            _log.warning("waiting for another process that pulls %s", target)
            announced = True
        time.sleep(_POLL_S)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        os.lseek(handle, 0, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
