"""Waiting such that Ctrl-C is heard.

The system may tell another thread of a signal, which wakes nobody who waits: Python's main thread
hears of it when it looks up.
"""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")
_LOOK_S = 0.2


def next_of(queue: SimpleQueue[T], timeout: float | None = None) -> T:
    """The next of a queue; Empty where none has come within so many seconds."""
    end_s = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            return queue.get(timeout=_look_s(end_s))
        except Empty:
            if end_s is not None and time.monotonic() >= end_s:
                raise


def join(thread: threading.Thread, timeout: float | None = None) -> None:
    """Wait until a thread has ended, for so many seconds at most."""
    end_s = None if timeout is None else time.monotonic() + timeout
    while thread.is_alive() and (end_s is None or time.monotonic() < end_s):
        thread.join(_look_s(end_s))


def _look_s(end_s: float | None) -> float:
    return _LOOK_S if end_s is None else min(max(end_s - time.monotonic(), 0.0), _LOOK_S)
