"""Calls that are to end in time, also where nobody waits for them, as streams that are not read.

Who waits for a call in a thread of his own looks at the clock himself. For the others, tasks among
them, a thread does, which exists from the first call with a deadline on, so that a step that takes
long is ended too.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from halfbyte.errors import EngineError
from halfbyte.generation.waiting import join

_LONGEST_S = 3600.0  # that it waits at a time: the system's waiting has a limit


class TimedCall(Protocol):
    """What can be late."""

    def seconds_left(self) -> float | None:
        """Seconds of its time that are left; None where there is no limit, or it is over."""

    def end_if_late(self) -> None:
        """Give up if its time is over; from any thread."""


class Deadlines:
    """Those of calls, which it keeps not alive."""

    def __init__(self) -> None:
        self._new: SimpleQueue[weakref.ref[TimedCall] | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, call: TimedCall) -> None:
        """One more, unless it has none or is over; from any thread.

        Raises:
            EngineError: the system gives no thread.
        """
        if call.seconds_left() is None:
            return
        self._new.put(weakref.ref(call))
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name="halfbyte-clock", daemon=True)
                try:
                    thread.start()
                except (RuntimeError, MemoryError) as error:
                    raise EngineError("the system gives no thread to look at the clock") from error
                self._thread = thread

    def stop(self) -> None:
        """Have the thread end. Takes no lock: garbage may be collected anywhere."""
        self._new.put(None)

    def close(self) -> None:
        """`stop`, and wait until it has ended."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            join(self._thread)

    def _watch(self) -> None:
        calls: weakref.WeakSet[TimedCall] = weakref.WeakSet()
        next_s = math.inf  # the first deadline, or that of a call that is gone
        while True:
            left_s = min(max(next_s - time.monotonic(), 0.0), _LONGEST_S)
            with suppress(Empty):
                added = self._new.get(timeout=None if next_s == math.inf else left_s)
                if added is None:
                    self._new.put(None)  # should an interrupt have made two of these
                    return
                next_s = min(next_s, _take(added, calls))
            if time.monotonic() >= next_s:
                next_s = _end_late(calls)


def _take(added: weakref.ref[TimedCall], calls: weakref.WeakSet[TimedCall]) -> float:
    """Add a call, if there still is one; when its time is over."""
    call = added()
    left_s = None if call is None else call.seconds_left()
    if call is None or left_s is None:
        return math.inf
    calls.add(call)
    return time.monotonic() + left_s


def _end_late(calls: weakref.WeakSet[TimedCall]) -> float:
    """End those that are late; when the next one will be."""
    next_s = math.inf
    for call in list(calls):
        left_s = call.seconds_left()
        if left_s:
            next_s = min(next_s, time.monotonic() + left_s)
        else:
            calls.discard(call)
            call.end_if_late()
    return next_s
