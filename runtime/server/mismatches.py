"""Prompts whose beginnings change with every turn: said once, and counted.

An agent that puts a date or a header of its bills near the beginning of its instructions has all
that stands behind processed anew each time. Whoever writes the prompt can move it to the end, and
whoever serves it can drop it (`--drop-pattern`).
"""

from __future__ import annotations

import logging
from typing import Any

from halfbyte.printable import printable
from halfbyte.server.metrics import Metrics
from halfbyte.server.record import Record

log = logging.getLogger(__name__)

_MOST_TOLD = 1000  # clients and routes, which are mentioned once each


class Mismatches:
    """What is said of them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told: set[tuple[str, str]] = set()

    def look_at(self, record: Record, answers: list[Any]) -> None:
        """Note where the prompt of these answers left a remembered one only to come back."""
        where = next((one.stats.mismatch for one in answers if one.stats.mismatch), "")
        if not where:
            return
        self._metrics.mismatches.labels(record.model, record.route).inc()
        who = record.client, record.route
        if who not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(who)
            log.warning(
                "%s at %s: %s; what is behind is processed anew each time: have that part moved to "
                "the end, or drop it with --drop-pattern (this is said once)",
                printable(record.client), record.route, where,
            )  # fmt: skip
