"""Files that are this user's alone: whose they are, and who could have written them.

Which is asked of the very descriptor that is read, and no folder above may let others put another
file in its place.
"""

from __future__ import annotations

import os
import stat
import tempfile
from io import BufferedReader
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_HAS_OWNERS = hasattr(os, "getuid")


class NotPrivateError(Exception):
    """A file may come from someone else, or is none."""


def open_private(path: Path) -> BufferedReader:
    """A file to read.

    Raises:
        NotPrivateError: it is no ordinary file, or others own it or can write it.
        OSError: it cannot be opened; FileNotFoundError where there is none.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    # A FIFO must not be waited for.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotPrivateError("not a file, but a folder, pipe or device")
        if _HAS_OWNERS and not _is_private(status):
            raise NotPrivateError(
                f"owned by user {status.st_uid}, mode {stat.S_IMODE(status.st_mode):o}; expected "
                f"user {os.geteuid()}, and that nobody else can write it"
            )
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


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
