"""A file's bytes at given places: read, never mapped.

A mapped file that somebody cuts short kills the process that touches it; a read comes back short
and is an error.
"""

from __future__ import annotations

import os
import stat
import threading
import weakref

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import ModelFileError, unreadable

# Opening a pipe would wait for one who writes.
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


class FileReader:
    """An open file of `nbytes` when it was opened; safe to use from several threads.

    Args:
        path: an ordinary file.
        error: what to raise.
        what: it should be.

    Raises:
        ModelFileError (`error`): it is missing, not an ordinary file, or cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        error: type[ModelFileError] = ModelFileError,
        *,
        what: str = "a file",
    ) -> None:
        self.path = os.fspath(path)
        self._error = error
        try:
            self._descriptor = os.open(path, _FLAGS)
        except (OSError, ValueError) as reason:  # such as a name with U+0000
            raise self._unreadable(what, reason) from reason
        # Many models are dropped and not closed.
        self._close = weakref.finalize(self, os.close, self._descriptor)
        self._seeking = threading.Lock()
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            is_folder = stat.S_ISDIR(status.st_mode)
            got = "a folder" if is_folder else "a pipe, socket or device"
            raise error(path, expected=what, got=got)
        self.nbytes = status.st_size

    @property
    def descriptor(self) -> int:
        """For reading at given places alone."""
        return self._descriptor

    def read(self, begin: int, end: int) -> NDArray[np.uint8]:
        """The bytes from `begin` to before `end`.

        Raises:
            ModelFileError (`error`): the file ends before, or cannot be read.
        """
        out = np.empty(end - begin, np.uint8)
        self.read_into(out, begin)
        return out

    def read_into(self, out: NDArray[np.uint8], begin: int) -> None:
        """Fill an array with the bytes from `begin` on.

        Raises:
            ModelFileError (`error`): as `read`.
        """
        done = 0
        try:
            while done < len(out):
                n = self._read_into(out.data[done:], begin + done)
                if n == 0:
                    raise self._error(
                        self.path, expected=f"{begin + len(out)} bytes",
                        got=f"an end at byte {begin + done}",
                        hint="it was cut short while it was open",
                    )  # fmt: skip
                done += n
        except OSError as reason:
            raise self._error(self.path, expected="to read it", got=str(reason)) from reason

    def prefetch(self, begin: int, end: int) -> None:
        """Have a part read from the disk in the background."""
        if hasattr(os, "posix_fadvise") and end > begin:
            advice = os.POSIX_FADV_WILLNEED
            os.posix_fadvise(self._descriptor, begin, end - begin, advice)

    def let_go(self, begin: int, end: int) -> None:
        """Have the system forget a part that was read: its memory is needed for something else."""
        if hasattr(os, "posix_fadvise") and end > begin:
            advice = os.POSIX_FADV_DONTNEED
            os.posix_fadvise(self._descriptor, begin, end - begin, advice)

    def again(self) -> FileReader:
        """The same file, open for itself."""
        other = object.__new__(type(self))
        other.path, other._error, other.nbytes = self.path, self._error, self.nbytes
        try:
            other._descriptor = os.dup(self._descriptor)
        except OSError as reason:
            raise self._error(self.path, expected="to open it again", got=str(reason)) from reason
        other._close = weakref.finalize(other, os.close, other._descriptor)
        other._seeking = self._seeking  # they have one position
        return other

    def close(self) -> None:
        """Close the file; it can't be read any more."""
        self._descriptor = -1  # the number may soon be another file's
        self._close()

    def _unreadable(self, what: str, reason: OSError | ValueError) -> ModelFileError:
        if self._error is ModelFileError:
            return unreadable(self.path, what, reason)
        said = getattr(reason, "strerror", None) or str(reason)
        got = "nothing there" if isinstance(reason, FileNotFoundError) else said
        return self._error(self.path, expected=what, got=got)

    def _read_into(self, out: memoryview, at: int) -> int:
        """How many bytes came, 0 at the file's end."""
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [out], at)
        with self._seeking:
            os.lseek(self._descriptor, at, os.SEEK_SET)
            data = os.read(self._descriptor, len(out))
        out[: len(data)] = data
        return len(data)
