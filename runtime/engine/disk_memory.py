"""Arrays that lie in a file: what of them is used is in memory, as far as that reaches."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import EngineError


def on_disk(what: str, nbytes: int, folder: Path) -> NDArray[np.uint8]:
    """An array in a file of the folder that has no name and is gone with the array.

    The system reads its pages where they are used, and drops them where memory is needed.

    Raises:
        EngineError: the folder cannot be written, or the disk has no room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < nbytes:
            raise _refused(what, nbytes, folder, f"{free / 1e9:.1f} GB free")
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # a disk that is full later would end the process
                os.posix_fallocate(file.fileno(), 0, nbytes)
            else:
                file.truncate(nbytes)
            return np.frombuffer(mmap.mmap(file.fileno(), nbytes), np.uint8)
    except OSError as error:
        raise _refused(what, nbytes, folder, str(error)) from error


def _refused(what: str, nbytes: int, folder: Path, why: str) -> EngineError:
    return EngineError(
        f"{nbytes / 1e9:.1f} GB for {what} fit neither memory nor {folder}: {why}",
        hint="free some, or use a smaller model; HALFBYTE_CACHE names the folder",
    )
