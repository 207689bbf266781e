"""A model file's SHA-256, of every byte, computed once and remembered by path, size and time.

A sample of the bytes would be read faster, but two models that differ elsewhere would have each
other's prompts. The whole is read once for a file, in a thread of its own, while the system still
has it in memory from loading it; nobody waits, but until then nothing is kept on disk.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from halfbyte.errors import ModelFileError, unreadable
from halfbyte.generation.waiting import join
from halfbyte.kernels.compiler.private_files import (
    NotPrivateError,
    open_private,
    private_folder,
)
from halfbyte.lazy_dataclass import dataclass

log = logging.getLogger(__name__)

_CHUNK_NBYTES = 1 << 23
_MAX_RECORD = 1 << 16
_SETTLED_NS = 2_000_000_000  # file systems count time in steps of up to 2 s


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells a file from what lies under its name later."""

    path: str
    nbytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> FileStamp:
        """That of a file, to be taken before it is loaded; ModelFileError where there is none."""
        try:
            status = os.stat(path)
        except OSError as error:
            raise unreadable(path, "a model file", error) from error
        name = os.path.realpath(path)
        return cls(name, status.st_size, status.st_mtime_ns, status.st_ino)


class ModelHash:
    """A hash that is there at once where it is known, else some time later.

    Args:
        stamp: of the file as it was loaded.
        folder: where hashes are remembered; made where it is not there.
    """

    def __init__(self, stamp: FileStamp, folder: Path) -> None:
        self._stamp, self._folder = stamp, folder
        self._value = _recall(stamp, folder)
        self._thread = threading.Thread(target=self._work, name="halfbyte-hash", daemon=True)
        if self._value is None:
            try:
                self._thread.start()
            except (RuntimeError, MemoryError) as error:  # as at the interpreter's end
                self._tell(error)

    def get(self, timeout: float | None = 0) -> str | None:
        """The hash in hexadecimal; None where it is not ready, or the file has changed since.

        Args:
            timeout: seconds to wait for it; None for as long as it takes.
        """
        if self._value is None:
            join(self._thread, timeout)
        return self._value

    def _work(self) -> None:
        try:
            value = _hash(self._stamp)
        except (ModelFileError, OSError) as error:
            self._tell(error)
            return
        try:
            _remember(self._stamp, value, self._folder)
        except OSError as error:
            log.info("%s: the model's hash is not remembered: %s", self._folder, str(error))
        self._value = value

    def _tell(self, error: Exception) -> None:
        log.warning("%s: prompts are not kept on disk: %s", self._stamp.path, str(error))


class FilesHash:
    """One hash of all files of a model, begun when it is first asked for.

    Args:
        stamps: of the files as they were loaded.
        folder: where hashes are remembered.
    """

    def __init__(self, stamps: Sequence[FileStamp], folder: Path) -> None:
        self._stamps, self._folder = stamps, folder
        self._hashes: list[ModelHash] = []
        self._beginning = threading.Lock()

    def get(self, timeout: float | None = 0) -> str | None:
        """As ModelHash.get, all files together; from any thread."""
        end_s = math.inf if timeout is None else time.monotonic() + timeout
        with self._beginning:
            if not self._hashes:
                self._hashes = [ModelHash(stamp, self._folder) for stamp in self._stamps]
        values = [found.get(_seconds_until(end_s)) for found in self._hashes]
        if len(values) == 1:
            return values[0]
        if None in values:
            return None
        return hashlib.sha256("".join(filter(None, values)).encode()).hexdigest()


def _seconds_until(end_s: float) -> float | None:
    return None if end_s == math.inf else max(end_s - time.monotonic(), 0.0)


def _hash(stamp: FileStamp) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK_NBYTES))
    with open(stamp.path, "rb", buffering=0) as file:
        while n := file.readinto(buffer):
            digest.update(buffer[:n])
    now = FileStamp.of(stamp.path)
    if now != stamp:
        raise ModelFileError(stamp.path, expected="the file that was loaded", got="another one")
    return digest.hexdigest()


def _record(stamp: FileStamp, folder: Path) -> Path:
    name = hashlib.blake2b(stamp.path.encode(errors="surrogateescape"), digest_size=16)
    return folder / f"{name.hexdigest()}.json"


def _recall(stamp: FileStamp, folder: Path) -> str | None:
    try:
        with open_private(_record(stamp, private_folder(folder))) as file:
            record = json.loads(file.read(_MAX_RECORD))
        value = record.pop("sha256")
        if record == asdict(stamp) and re.fullmatch("[0-9a-f]{64}", value):
            return str(value)
    except (OSError, NotPrivateError, ValueError, TypeError, KeyError, AttributeError,
            RecursionError):  # fmt: skip
        pass  # it is computed, and written anew
    return None


def _remember(stamp: FileStamp, value: str, folder: Path) -> None:
    if time.time_ns() - stamp.mtime_ns < _SETTLED_NS:
        return  # a change would have the same time
    path = _record(stamp, private_folder(folder))
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({**asdict(stamp), "sha256": value}, file)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
