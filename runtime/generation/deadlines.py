"""Calls that are to end in time, also where nobody waits for them, as streams that are not read.

Whoever waits for a call looks at the clock too, and can end it within a step.
"""

from __future__ import annotations

import math
import time
import weakref
from typing import Protocol


class TimedCall(Protocol):
    """What can be late."""

    def seconds_left(self) -> float | None:
        """Seconds of its time that are left; None where there is no limit, or it is over."""

    def end_if_late(self) -> None:
        """Give up if its time is over."""


class Deadlines:
    """Those of calls, which it keeps not alive; for the thread that owns the engine."""

    def __init__(self) -> None:
        self._calls: weakref.WeakSet[TimedCall] = weakref.WeakSet()
        self._next_s = math.inf  # the first one's, or that of a call that is gone

    def add(self, call: TimedCall) -> None:
        """One more, unless it has none or is over."""
        if (left_s := call.seconds_left()) is not None:
            self._calls.add(call)
            self._next_s = min(self._next_s, time.monotonic() + left_s)

    def look(self) -> None:
        """End those that are late; between steps."""
        if self._next_s == math.inf or time.monotonic() < self._next_s:
            return
        self._next_s, calls = math.inf, list(self._calls)
        self._calls.clear()
        for call in calls:
            if call.seconds_left() == 0:
                call.end_if_late()
            else:
                self.add(call)
