"""How long a model stays in memory after a request: `keep_alive`."""

from __future__ import annotations

import math
import re

from halfbyte.server.fault import Fault

# Of Go's durations: https://pkg.go.dev/time#ParseDuration.
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_PART = r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"([+-]?)((?:{_PART})+)")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?")
_MAX_LENGTH = 64


def idle_seconds(keep_alive: float | str) -> float | None:
    """Seconds without a request after which a model goes; None for never.

    Args:
        keep_alive: seconds, or a duration like "1h30m"; below zero: for ever.

    Raises:
        Fault: it is neither.
    """
    seconds = _read(keep_alive) if isinstance(keep_alive, str) else float(keep_alive)
    if not math.isfinite(seconds):
        raise _fault(keep_alive)
    return None if seconds < 0 else seconds


def _read(text: str) -> float:
    if len(text) > _MAX_LENGTH:
        raise _fault(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    found = _DURATION.fullmatch(text)
    if found is None:
        raise _fault(text)
    total = sum(float(n) * _UNITS[unit] for n, unit in re.findall(_PART, found[2]))
    return -total if found[1] == "-" else total


def _fault(got: object) -> Fault:
    expected = 'seconds or a duration like "5m"; 0 unloads at once, -1 keeps the model'
    message = f"keep_alive: expected {expected}, got {got!r:.80}"
    return Fault("invalid_request", message, param="keep_alive")
