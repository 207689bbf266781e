"""A thread that writes pages to a disk, so that nobody who computes waits for it.

It lives as long as there is something to write. What waits is bounded: a disk that is too slow
keeps less, and delays nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from halfbyte.generation.radix_tree import Node


@dataclass(frozen=True, slots=True)
class LeavingPage:
    """A page on its way to the disk, as long as its place in the tree is known.

    Attributes:
        node: the page.
        parent: the digest of what it grew from.
    """

    node: Node
    parent: bytes

    @classmethod
    def of(cls, node: Node) -> LeavingPage:
        """One that is in the tree."""
        return cls(node, node.parent.digest)


class PageWriter:
    """Writes pages in the order in which they came; used by the thread that owns the cache.

    Args:
        write: writes one, and raises nothing.
        n_most: pages that wait or are written at a time.
    """

    def __init__(self, write: Callable[[LeavingPage], None], n_most: int) -> None:
        self._write, self._n_most = write, n_most
        self._changed = threading.Condition()
        self._waiting: dict[bytes, LeavingPage] = {}  # by digest; the first may be on its way
        self._is_running = False

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, node: Node) -> bool:
        return node.digest in self._waiting

    def offer(self, page: LeavingPage, timeout: float = 0.0) -> bool:
        """Have a page written; False where too many wait, for so many seconds."""
        with self._changed:
            if page.node in self:
                return True
            if not self._changed.wait_for(lambda: len(self) < self._n_most, timeout):
                return False
            self._waiting[page.node.digest] = page
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
        """Write nothing more of what waits, and wait for the page that is written; whether
        memory came of it.
        """
        with self._changed:
            n = len(self)
            for digest in list(self._waiting)[int(self._is_running) :]:
                del self._waiting[digest]
            self._changed.wait_for(lambda: not self._waiting, timeout)
            return len(self) < n

    def _run(self) -> None:
        try:
            while self._write_next():
                pass
        except BaseException:
            self._is_running = False  # the next page finds another thread
            raise

    def _write_next(self) -> bool:
        """Write the first that waits; False where none does."""
        with self._changed:
            if not self._waiting:
                self._is_running = False  # before another page can come
                return False
            digest, page = next(iter(self._waiting.items()))
        try:
            self._write(page)
        finally:
            del page  # its memory is free before anybody is told
            with self._changed:
                del self._waiting[digest]
                self._changed.notify_all()
        return True


def seconds_until(end_s: float) -> float:
    """How long it is until then."""
    return max(end_s - time.monotonic(), 0.0)
