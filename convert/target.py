"""The place of a file to be written, and its `.part` file, which gets its name when it is whole.

A part file has a name of its own and is locked while it is written, wherever its writers run: on
one disk, several containers may have processes of the same number. What is not locked was left by
a writer that ended, and is removed, never used.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from halfbyte.errors import ConversionError, HalfbyteError, RequestError
from halfbyte.files.file_names import cut_name, refusal

fcntl: ModuleType | None
try:
    fcntl = import_module("fcntl")
except ImportError:  # on Windows, a file that is open can't be removed
    fcntl = None

log = logging.getLogger(__name__)

_MAX_STEM_NBYTES = 120


def check_target(target: Path, *, force: bool, param: str = "dst") -> None:
    """Refuse a target that cannot be written, or must not be.

    Raises:
        RequestError: the system refuses the path of this argument.
        ConversionError: it exists and `force` is not set, or is no place for a file.
    """
    reason = refusal(target)
    if reason and not os.path.islink(target):
        raise RequestError(param, expected="a file that can be written", got=f"{target}: {reason}")
    if target.is_dir():
        raise ConversionError(target, param, expected="the name of a file", got="a folder")
    if os.path.lexists(target) and not force:
        raise _exists(target)
    if target.exists() and not target.is_file():
        got = "a pipe, socket or device"
        raise ConversionError(target, param, expected="the name of a file", got=got)
    if not target.parent.is_dir():
        raise ConversionError(target, param, expected="a folder to write to", got="none there")
    if not os.access(target.parent, os.W_OK):
        got = "one that is read-only"
        raise ConversionError(target, param, expected="a folder to write to", got=got)


def check_distinct(written: Mapping[str, Path | None], read: Mapping[str, list[Path]]) -> None:
    """Refuse arguments that name one file twice, where at least one of them is written.

    Args:
        written: the files that will be written, by argument.
        read: the files that will be read, by argument.

    Raises:
        RequestError: two are the same, by name or by what lies there; `param` is the written one.
    """
    seen = [(name, path) for name, paths in read.items() for path in paths]
    for param, path in written.items():
        if path is None:
            continue
        for other, known in seen:
            if _is_same(path, known):
                raise RequestError(param, expected=f"another file than {other}", got=str(path))
        seen.append((param, path))


def check_space(target: Path, nbytes: int) -> None:
    """ConversionError where the target's disk has less room than that."""
    free = shutil.disk_usage(target.parent).free
    if free < nbytes:
        raise ConversionError(
            target, expected=f"{nbytes / 1e6:,.1f} MB of free space", got=f"{free / 1e6:,.1f} MB"
        )


@contextmanager
def part_file(target: Path, *, force: bool) -> Iterator[Path]:
    """A path to write to, which becomes `target` if the block ends well and vanishes if not.

    Raises:
        ConversionError: writing fails, or, without `force`, the target has come to be meanwhile.
    """
    remove_left_parts(target.parent, _part_stem(target.name))
    try:
        part, descriptor = _new_part(target)
        try:
            yield part
            os.fsync(descriptor)
            _publish(part, target, force=force)
        finally:
            part.unlink(missing_ok=True)
            os.close(descriptor)
    except HalfbyteError:  # some are OSErrors too: what was written from is missing
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConversionError(target, expected="to write the file", got=reason) from error


def _exists(target: Path) -> ConversionError:
    return ConversionError(
        target, expected="a new file", got="an existing one",
        hint="use --force (force=True) to replace it",
    )  # fmt: skip


def _is_same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:  # one of them is not there yet, or can't be
        return os.path.realpath(a) == os.path.realpath(b)


def _new_part(target: Path) -> tuple[Path, int]:
    """A new file beside the target, and its descriptor, which holds the lock."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        part = target.with_name(f"{_part_stem(target.name)}.{secrets.token_hex(8)}.part")
        descriptor = os.open(part, flags, 0o666)
        _lock(descriptor)
        # Between its making and its lock, somebody may have taken it for left behind.
        if part.exists():
            return part, descriptor
        os.close(descriptor)


def _part_stem(name: str) -> str:
    """What part files of that name begin with: the name, or its beginning and hash if it is long.

    File systems take names of 255 bytes, some of 143, and a part file's is longer.
    """
    raw = os.fsencode(name)
    if len(raw) <= _MAX_STEM_NBYTES:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"{cut_name(name, _MAX_STEM_NBYTES - len(digest) - 1)}-{digest}"


def _publish(part: Path, target: Path, *, force: bool) -> None:
    """Give the finished file its name; without `force` to one writer only."""
    if force:
        os.replace(part, target)
        return
    try:
        os.link(part, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without links
        if target.exists():
            raise _exists(target) from None
        os.replace(part, target)


def remove_left_parts(folder: Path, stem: str | None = None) -> None:
    """Remove what writers that ended have left in a folder: of one name, or of all."""
    name = ".+" if stem is None else re.escape(stem)
    pattern = re.compile(name + r"\.[0-9a-f]{16}\.part", re.S)
    for path in folder.glob("*.part"):
        if not pattern.fullmatch(path.name) or path.is_symlink():
            continue
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            continue
        try:
            if _lock(descriptor):
                log.warning("removing %s, which an ended process has left", path)
                path.unlink(missing_ok=True)
        except OSError:
            continue  # Windows: it is open elsewhere
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the lock of a file could be had, without waiting."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
