"""Compiled kernels as files: plain data, in a folder that nobody else can write.

A file is a hash of all that follows, a line of JSON, then object code. Nothing in it is unpickled,
but its machine code runs: so each file must belong to this user alone (private_files.py), be whole,
and be made for what its folder is named by.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

from halfbyte.kernels.compiler.private_files import NotPrivateError, open_private
from halfbyte.lazy_dataclass import dataclass

log = logging.getLogger(__name__)

SUFFIX = ".kernel"
_VERSION = re.compile(r"[a-z0-9]+-[0-9a-f]{16}")  # jit.cache_key
_MAX_NBYTES = 1 << 26  # a kernel has some ten thousand bytes
_MAX_HEADER = 4096
_KEEP_S = 30 * 24 * 3600  # of a version whose kernels nobody has loaded for so long


class CodeFileError(Exception):
    """A file of compiled code is damaged, or may come from someone else."""


@dataclass(frozen=True, slots=True)
class Code:
    """A kernel's machine code: its `name`, the symbol of its entry, the object file."""

    name: str
    entry: str
    machine_code: bytes


def read(folder: Path, name: str, *, is_own: bool = True) -> Code | None:
    """A kernel's code, or None where there is none.

    Raises:
        CodeFileError: the file is damaged; where it `is_own`, others own it or can write it.
        OSError: it cannot be read.
    """
    path = folder / f"{name}{SUFFIX}"
    try:
        with open_private(path) if is_own else open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > _MAX_NBYTES:
                raise CodeFileError("not a file of compiled code")
            digest, content = file.readline(_MAX_HEADER), file.read()
    except FileNotFoundError:
        return None
    except NotPrivateError as error:
        raise CodeFileError(str(error)) from error
    if digest != _digest(content):
        raise CodeFileError("damaged")
    return _parse(content, folder.name, name)


def write(folder: Path, code: Code) -> None:
    """Keep a kernel's code, in the place of what may be there; OSError where that fails."""
    header = {"made_for": folder.name, "name": code.name, "entry": code.entry}
    content = json.dumps(header).encode() + b"\n" + code.machine_code
    descriptor, path = tempfile.mkstemp(dir=folder)  # with mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(_digest(content) + content)
        os.replace(path, folder / f"{code.name}{SUFFIX}")
    except BaseException:
        os.unlink(path)
        raise


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


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n"


def _parse(content: bytes, made_for: str, name: str) -> Code:
    header, _, machine_code = content.partition(b"\n")
    try:
        fields = json.loads(header)
        if (fields.pop("made_for"), fields["name"]) != (made_for, name):
            raise CodeFileError("another's")
        return Code(**fields, machine_code=machine_code)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise CodeFileError(f"damaged ({error})") from error
