"""What a caller asks of the scheduler: how long an answer may take, and how much it matters."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from halfbyte.call_arguments import literal
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass

_MAX_S = 1e9  # thirty years; the system's own limits lie above
_PRIORITIES = (0.01, 100.0)
_NAMES = ("timeout", "max_time", "priority")


@dataclass(frozen=True, slots=True)
class Terms:
    """Checked when made.

    Attributes:
        timeout: seconds from the call until it ends with an error that has what there is; None
            for no limit.
        max_time: seconds from the call until it ends with what there is; None for no limit.
        priority: the share of the steps, beside callers of priority 1, that the prompt gets.
        begun_s: when the call was made, by time.monotonic().

    Raises:
        RequestError: a value of the wrong type or out of range; `param` names it.
    """

    timeout: float | None = None
    max_time: float | None = None
    priority: float = 1.0
    begun_s: float = field(default_factory=time.monotonic)

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[Terms, dict[str, Any]]:
        """The terms among a call's options, and the other options."""
        rest = dict(options)
        mine = {name: rest.pop(name) for name in _NAMES if name in rest}
        return cls(**mine), rest

    @property
    def limit_s(self) -> float | None:
        """Seconds after which the call ends, in one way or the other; None for no limit."""
        limits = [s for s in (self.timeout, self.max_time) if s is not None]
        return min(limits, default=None)

    @property
    def deadline_s(self) -> float | None:
        """When that is, by time.monotonic()."""
        return None if self.limit_s is None else self.begun_s + self.limit_s

    @property
    def is_answered_late(self) -> bool:
        """Whether what there is at the limit is an answer, not an error."""
        return self.max_time is not None and self.max_time == self.limit_s

    def __post_init__(self) -> None:
        for name in ("timeout", "max_time"):
            seconds = getattr(self, name)
            if seconds is not None:
                seconds = _number(name, seconds, 0.0, _MAX_S, "seconds above 0, or None")
                object.__setattr__(self, name, seconds)
        low, high = _PRIORITIES
        expected = f"a number from {low:g} to {high:g}"
        object.__setattr__(
            self, "priority", _number("priority", self.priority, low, high, expected)
        )


def _number(name: str, value: object, low: float, high: float, expected: str) -> float:
    if not isinstance(value, bool) and isinstance(value, numbers.Real):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if number > 0 and low <= number <= high:
            return number
    raise RequestError(name, expected=expected, got=literal(value))
