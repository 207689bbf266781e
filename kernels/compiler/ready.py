"""Kernels that come with the package, so that a first start has nothing to compile.

A wheel may hold common kernels' machine code (`make wheel`). It is compiled for the least CPU of an
ISA, so that all that have it take the same code, and it is read only by the sources that it was
made of, whatever Numba there is. Whoever can write it could as well write these sources, so it is
trusted like them: unlike the cache, it may be another user's.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

from halfbyte.kernels.compiler import code_files, target
from halfbyte.kernels.compiler.code_files import Code, CodeFileError

log = logging.getLogger(__name__)

_ROOT = Path(__file__).parent.parent / "ready"


def folder_of(isa: target.Isa, sources: bytes, root: Path = _ROOT) -> Path | None:
    """Where an ISA's kernels lie, made of sources with this hash; None: it has no least CPU."""
    if not isa.cpu:
        return None
    digest = hashlib.sha256(b"\0".join([sources, isa.cpu.encode(), isa.features.encode()]))
    return root / f"{isa.name}-{digest.hexdigest()[:16]}"


def read(name: str, sources: bytes) -> Code | None:
    """A kernel's code for this process's ISA, or None where the package brings none."""
    folder = _folder(target.current(), sources)
    if folder is None:
        return None
    try:
        return code_files.read(folder, name, is_own=False)
    except (CodeFileError, OSError) as error:
        log.warning("%s: unusable code of %s (%s), compiling it", folder, name, error)
        return None


@cache
def _folder(isa: target.Isa, sources: bytes) -> Path | None:
    folder = folder_of(isa, sources)
    return folder if folder is not None and folder.is_dir() else None


def write(folder: Path, name: str, make: Callable[[], Code]) -> int:
    """Put a kernel's code there, made where it lacks; the bytes of its file."""
    path = folder / f"{name}{code_files.SUFFIX}"
    if not path.exists():
        code_files.write(folder, make())
        path.chmod(0o644)
    return path.stat().st_size
