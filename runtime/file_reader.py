"""A file's bytes at given places: read, never mapped.

A mapped file that somebody cuts short kills the process that touches it; a read comes back short
and is an error.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import ModelFileError


class FileReader:
    """An open file of `nbytes` when it was opened; safe to use from several threads.

    Args:
        path: an ordinary file.
        error: what to raise.

    Raises:
        ModelFileError (`error`): it is missing, not an ordinary file, or cannot be read.
    """

    def __init__(
        self, path: str | os.PathLike[str], error: type[ModelFileError] = ModelFileError
    ) -> None:
        self.path = os.fspath(path)
        self._error = error
        # A folder would be an error without a name, and a pipe a wait.
        if not Path(path).is_file():
            got = "something else" if Path(path).exists() else "nothing there"
            raise error(path, expected="a file", got=got)
        try:
            self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as reason:
            raise error(path, expected="a readable file", got=str(reason)) from reason
        # Many models are dropped and not closed.
        self._close = weakref.finalize(self, os.close, self._descriptor)
        self._seeking = threading.Lock()
        self.nbytes = os.fstat(self._descriptor).st_size

    def read(self, begin: int, end: int) -> NDArray[np.uint8]:
        """The bytes from `begin` to before `end`.

        Raises:
            ModelFileError (`error`): the file ends before, or cannot be read.
        """
        out = np.empty(end - begin, np.uint8)
        done = 0
        try:
            while done < len(out):
                n = self._read_into(out.data[done:], begin + done)
                if n == 0:
                    raise self._error(
                        self.path, expected=f"{end} bytes", got=f"an end at byte {begin + done}",
                        hint="it was cut short while it was open",
                    )  # fmt: skip
                done += n
        except OSError as reason:
            raise self._error(self.path, expected="to read it", got=str(reason)) from reason
        return out

    def prefetch(self, begin: int, end: int) -> None:
        """Have a part read from the disk in the background."""
        if hasattr(os, "posix_fadvise") and end > begin:
            advice = os.POSIX_FADV_WILLNEED
            os.posix_fadvise(self._descriptor, begin, end - begin, advice)

    def close(self) -> None:
        """Close the file."""
        self._close()

    def _read_into(self, out: memoryview, at: int) -> int:
        """How many bytes came, 0 at the file's end."""
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [out], at)
        with self._seeking:
            os.lseek(self._descriptor, at, os.SEEK_SET)
            data = os.read(self._descriptor, len(out))
        out[: len(data)] = data
        return len(data)
