"""Work that a signal's exception must not end halfway: importing, compiling, loading.

Python runs signal handlers in the main thread, between any two of its instructions. What they raise
(KeyboardInterrupt on Ctrl-C, a server's timeout) would land in the middle of LLVM's bookkeeping,
whose destructors then free memory twice, or of an import, which leaves half a module or a lock
behind. So such work runs in a thread of its own while the main one waits: the exception reaches the
caller at once, and the work ends at the next place where it asks whether it is still wanted.

At the end of the process what still runs is waited for, since LLVM cannot be left in the middle.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Abandoned(BaseException):
    """Ends work whose caller has left; nobody sees it."""


class _Worker(threading.Thread, Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="halfbyte-loading", daemon=True)
        self._work = work
        self.is_wanted = True
        self.results: SimpleQueue[tuple[list[T], BaseException | None]] = SimpleQueue()

    def run(self) -> None:
        try:
            self.results.put(([self._work()], None))
        except BaseException as error:
            self.results.put(([], error))
        finally:
            _running.discard(self)
            del self._work


_running: set[_Worker] = set()


def uninterrupted(work: Callable[[], T]) -> T:
    """What `work` returns or raises; an exception of a signal handler ends only the waiting.

    Other threads get no signals, and do the work themselves.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    worker = _Worker(work)
    _running.add(worker)
    try:
        try:
            worker.start()
        except RuntimeError:  # no more threads: unguarded is better than not at all
            _running.discard(worker)
            return work()
        value, error = worker.results.get()
    except BaseException:
        worker.is_wanted = False
        raise
    if error is None:
        return value[0]
    try:
        raise error
    finally:
        del error  # its traceback holds this frame


def leave_if_unwanted() -> None:
    """For long work to call now and then: raises Abandoned once its caller has left."""
    worker = threading.current_thread()
    if isinstance(worker, _Worker) and not worker.is_wanted:
        raise Abandoned


def is_unfinished() -> bool:
    """Whether work goes on that nobody waits for any more."""
    return bool(_running)


@atexit.register
def _finish() -> None:
    for worker in list(_running):
        worker.is_wanted = False
        if worker.is_alive():
            worker.join()
