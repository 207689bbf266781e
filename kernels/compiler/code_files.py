"""Compiled kernels as files: plain data, in a folder that nobody else can write.

A file is a line of JSON, then object code. Nothing in it is unpickled, but its machine code runs:
so each file must belong to this user alone, which is asked of the very descriptor that is read, and
no folder above may let others put another one in its place.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)

SUFFIX = ".kernel"
_VERSION = re.compile(r"[a-z0-9]+-[0-9a-f]{16}")  # jit.cache_key
_MAX_NBYTES = 1 << 26  # a kernel has some ten thousand bytes
_MAX_HEADER = 4096
_KEEP_S = 30 * 24 * 3600  # of a version whose kernels nobody has loaded for so long
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_HAS_OWNERS = hasattr(os, "getuid")


class CodeFileError(Exception):
    """A file of compiled code is damaged, or may come from someone else."""


@dataclass(frozen=True, slots=True)
class Code:
    """A kernel's machine code: its `name`, the symbols of library and entry, the object file."""

    name: str
    library: str
    entry: str
    machine_code: bytes


def read(folder: Path, name: str) -> Code | None:
    """A kernel's code, or None where there is none.

    Raises:
        CodeFileError: the file is damaged, or others own it or can write it.
        OSError: it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        # A FIFO must not be waited for.
        descriptor = os.open(folder / f"{name}{SUFFIX}", flags | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_NBYTES:
            raise CodeFileError("not a file of compiled code")
        if _HAS_OWNERS and not _is_private(status):
            raise CodeFileError(
                f"owned by user {status.st_uid}, mode {stat.S_IMODE(status.st_mode):o}; expected "
                f"user {os.geteuid()}, and that nobody else can write it"
            )
        header, machine_code = file.readline(_MAX_HEADER), file.read()
    return _parse(header, machine_code, name)


def write(folder: Path, code: Code) -> None:
    """Keep a kernel's code, in the place of what may be there; OSError where that fails."""
    header = asdict(code) | {"machine_code": hashlib.sha256(code.machine_code).hexdigest()}
    descriptor, path = tempfile.mkstemp(dir=folder)  # with mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(json.dumps(header).encode() + b"\n" + code.machine_code)
        os.replace(path, folder / f"{code.name}{SUFFIX}")
    except BaseException:
        os.unlink(path)
        raise


def private_folder(path: Path) -> Path:
    """Make a folder that only this user can write; returns it without symbolic links.

    Raises:
        PermissionError: it, or a folder above it, can be written or replaced by someone else.
        OSError: it cannot be made or written.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = path.resolve(strict=True)
    if _HAS_OWNERS:
        if not _is_private(folder.stat()):
            raise PermissionError(f"{folder} is owned or writable by someone else")
        for parent in folder.parents:
            if not _is_safe(parent.stat()):
                raise PermissionError(f"{parent}, above it, is owned or writable by someone else")
    tempfile.TemporaryFile(dir=folder).close()
    return folder


def remove_all(root: Path) -> int:
    """Remove all compiled kernels below `root`, of every version; returns the bytes freed.

    Processes that run keep what they have loaded. Raises OSError where one cannot be removed.
    """
    return sum(_remove(folder) for folder in _versions(root))


def remove_old(root: Path, current: Path) -> int:
    """Remove versions that no process has begun to use for a month; returns the bytes freed."""
    os.utime(current)
    old = time.time() - _KEEP_S
    freed = 0
    for folder in _versions(root):
        try:
            if folder.name == current.name or folder.stat().st_mtime > old:
                continue
            nbytes = _remove(folder)
        except OSError as error:
            log.warning("%s: cannot remove old compiled kernels (%s)", folder, error)
            continue
        log.info("%s: removed compiled kernels of an old version, %.1f MB", folder, nbytes / 1e6)
        freed += nbytes
    return freed


def _versions(root: Path) -> list[Path]:
    """The folders of compiled code below `root`, each of a version; none behind links."""
    try:
        with os.scandir(root) as entries:
            return sorted(
                Path(entry.path)
                for entry in entries
                if _VERSION.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )
    except FileNotFoundError:
        return []


def _remove(folder: Path) -> int:
    with os.scandir(folder) as entries:
        nbytes = sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    shutil.rmtree(folder)
    return nbytes


def _parse(header: bytes, machine_code: bytes, name: str) -> Code:
    try:
        fields = json.loads(header)
        digest = fields.pop("machine_code")
        code = Code(**fields, machine_code=machine_code)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise CodeFileError(f"damaged ({error})") from error
    if code.name != name or digest != hashlib.sha256(machine_code).hexdigest():
        raise CodeFileError("damaged")
    return code


def _is_private(status: os.stat_result) -> bool:
    """Whether only this user can write it."""
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE


def _is_safe(status: os.stat_result) -> bool:
    """Whether nobody but this user and root can replace what lies in a folder.

    Root is here whoever owns "/": in a user's namespace, root has another number.
    """
    if status.st_uid not in (0, os.geteuid(), os.stat("/").st_uid):
        return False
    if status.st_mode & stat.S_ISVTX or not status.st_mode & _OTHERS_WRITE:
        return True
    return not status.st_mode & stat.S_IWOTH and _is_own_group(status.st_gid)


def _is_own_group(gid: int) -> bool:
    """Whether a group is this user's alone, as many systems give each user one."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    is_named_so = user.pw_gid == gid and group.gr_name == user.pw_name
    return is_named_so and {*group.gr_mem} <= {user.pw_name}
