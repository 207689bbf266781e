"""A thread that writes pages and snapshots to a disk, so that nobody who computes waits for it.

It lives as long as there is something to write. What waits is bounded in bytes: a disk that is too
slow keeps less, and delays nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from halfbyte.generation.leaving import Leaving


class PageWriter:
    """Writes in the order in which things came; used by the thread that owns the cache.

    Args:
        write: writes one, and raises nothing.
        max_nbytes: of what waits or is written at a time; a single thing may have more.
    """

    def __init__(self, write: Callable[[Leaving], None], max_nbytes: int) -> None:
        self._write, self.max_nbytes = write, max_nbytes
        self._changed = threading.Condition()
        self._waiting: dict[str, Leaving] = {}  # by name; the first may be on its way
        self._nbytes = 0
        self._is_running = False

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, leaving: Leaving) -> bool:
        return leaving.name in self._waiting

    @property
    def room(self) -> int:
        """Bytes that may still come."""
        return self.max_nbytes - self._nbytes

    def offer(self, leaving: Leaving, timeout: float = 0.0) -> bool:
        """Have one written; False where too much waits, for so many seconds."""
        with self._changed:
            if leaving in self:
                return True
            if not self._changed.wait_for(lambda: self._has_room(leaving), timeout):
                return False
            self._waiting[leaving.name] = leaving
            self._nbytes += leaving.nbytes
            if self._is_running:
                return True
            self._is_running = True
        thread = threading.Thread(target=self._run, name="halfbyte-disk", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):  # none is to be had, as at the interpreter's end
            self._run()
        return True

    def wait(self, timeout: float) -> bool:
        """Wait until all is written; False where it is not by then."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout)

    def forget(self, timeout: float) -> bool:
        """Write nothing more of what waits, and wait for what is written now; whether memory
        came of it.
        """
        with self._changed:
            n = len(self)
            for name in list(self._waiting)[int(self._is_running) :]:
                self._leave(name)
            self._changed.wait_for(lambda: not self._waiting, timeout)
            return len(self) < n

    def _has_room(self, leaving: Leaving) -> bool:
        return not self._waiting or leaving.nbytes <= self.room

    def _leave(self, name: str) -> None:
        self._nbytes -= self._waiting.pop(name).nbytes

    def _run(self) -> None:
        try:
            while self._write_next():
                pass
        except BaseException:
            self._is_running = False  # the next one finds another thread
            raise

    def _write_next(self) -> bool:
        """Write the first that waits; False where none does."""
        with self._changed:
            if not self._waiting:
                self._is_running = False  # before another can come
                return False
            name, leaving = next(iter(self._waiting.items()))
        try:
            self._write(leaving)
        finally:
            del leaving  # its memory is free before anybody is told
            with self._changed:
                self._leave(name)
                self._changed.notify_all()
        return True


def seconds_until(end_s: float) -> float:
    """How long it is until then."""
    return max(end_s - time.monotonic(), 0.0)
