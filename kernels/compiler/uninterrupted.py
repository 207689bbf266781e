"""Work that a signal's exception must not end halfway: importing, compiling, loading.

Python runs signal handlers in the main thread, between any two of its instructions. What they raise
(KeyboardInterrupt on Ctrl-C, a server's timeout) would land in the middle of LLVM's bookkeeping,
whose destructors then free memory twice, or of an import, which leaves half a module or a lock
behind. So such work runs in a thread of its own while the main one waits: the exception reaches the
caller at once, and the work ends at the next place where it asks whether it is still wanted.

At the end of the process what still runs is waited for, since LLVM cannot be left in the middle.
"""

from __future__ import annotations

import _thread
import atexit
import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Abandoned(BaseException):
    """Ends work whose caller has left; nobody sees it."""


class _Worker(Generic[T]):
    """A thread, unlike threading.Thread one whose start waits for nothing.

    Where memory is short, a thread may end before it has run a line of Python.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.is_wanted, self.has_begun = True, False
        self.results: SimpleQueue[tuple[list[T], BaseException | None]] = SimpleQueue()
        self.is_over = threading.Lock()

    def start(self) -> None:
        self.is_over.acquire()
        _running.add(self)
        try:
            _start_thread(self._run)
        except BaseException:
            _running.discard(self)
            raise

    def wait(self) -> T:
        """The result of the work, or what it raised."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                value, error = self.results.get(timeout=_LOOK_S)
                break
            except Empty:
                if not self.has_begun and time.monotonic() > end:
                    _running.discard(self)
                    raise MemoryError("a thread did not begin") from None
        if error is None:
            return value[0]
        try:
            raise error
        finally:
            del error  # its traceback holds this frame

    def _run(self) -> None:
        try:
            self.has_begun = True
            _current.worker = self
            leave_if_unwanted()
            result: tuple[list[T], BaseException | None] = ([self._work()], None)
        except BaseException as error:
            result = ([], error)
        finally:
            # What asked for the current thread made a stand-in, which Python 3.11 keeps for good.
            threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]
            _running.discard(self)
            del self._work
            self.results.put(result)
            del result
            self.is_over.release()


def _start_thread(run: Callable[[], None]) -> None:
    """Starts it, with some patience: a limit on threads is mostly met for a moment only."""
    for _ in range(_TRIES - 1):
        try:
            _thread.start_new_thread(run, ())
            return
        except RuntimeError:
            time.sleep(_PAUSE_S)
    _thread.start_new_thread(run, ())


_PATIENCE_S = 30.0
_LOOK_S = 0.1  # the system may tell another thread of a signal, which wakes nobody who waits
_TRIES, _PAUSE_S = 20, 0.05
_running: set[_Worker[Any]] = set()
_current = threading.local()


def uninterrupted(work: Callable[[], T]) -> T:
    """What `work` returns or raises; an exception of a signal handler ends only the waiting.

    Other threads get no signals, and do the work themselves.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return work()
    worker = _Worker(work)
    try:
        try:
            worker.start()
        except RuntimeError:  # no more threads: unguarded is better than not at all
            return work()
        return worker.wait()
    except BaseException:
        worker.is_wanted = False
        raise


def leave_if_unwanted() -> None:
    """For long work to call now and then: raises Abandoned once its caller has left."""
    worker = getattr(_current, "worker", None)
    if worker is not None and not worker.is_wanted:
        raise Abandoned


def is_unfinished() -> bool:
    """Whether work goes on that nobody waits for any more."""
    return bool(_running)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)  # a child has none of the threads


@atexit.register
def _finish() -> None:
    for worker in list(_running):
        worker.is_wanted = False
        with worker.is_over:
            pass
