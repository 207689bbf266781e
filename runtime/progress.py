"""How long work tells how far it is; whoever started it decides what to show."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with a stage, the work done and the whole of it, in units of the stage (mostly bytes).

A stage ends with done == total, or when another begins. Calls may come from another thread.
"""


def silent(stage: str, done: int, total: int) -> None:
    """The callback of someone who gave none."""
