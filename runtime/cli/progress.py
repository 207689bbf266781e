"""What stderr shows while work goes on: a bar on a terminal, single lines elsewhere, the log."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from halfbyte.cli import streams
from halfbyte.printable import printable

INFO, WARNING, ERROR = logging.INFO, logging.WARNING, logging.ERROR

_EVERY_S = 0.1
_BAR_CELLS = 24
_BYTES_FROM = 10_000_000
# Stages, by their first word, that get a line of their own once they have taken so many seconds.
_ANNOUNCED_AFTER_S = {
    "download": 0.0, "convert": 0.0, "calibrate": 0.0, "importance": 0.0, "measure": 1.0,
    "compile": 1.0,
}  # fmt: skip
_TIME_LEFT_AFTER_S = 3.0


class Bar:
    """A progress callback that draws one line over and over; erased when a stage ends.

    Stages that can take minutes (_ANNOUNCED_AFTER_S) get a line that stays, on a terminal and
    elsewhere; elsewhere a second one says how long they will take, once that can be known.
    """

    def __init__(self) -> None:
        self._stage = ""
        self._begun_s = self._drawn_s = 0.0
        self._is_drawn = self._is_announced = self._is_forecast = False

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` is done."""
        now = time.monotonic()
        if stage != self._stage:
            self.clear()
            self._stage, self._is_announced, self._is_forecast = stage, False, False
            self._begun_s, self._drawn_s = now, 0.0
        if done >= total:
            self.clear()
            return
        self._announce(stage, total, now - self._begun_s)
        if streams.is_drawn_on() and now - self._drawn_s >= _EVERY_S:
            self._drawn_s = now
            self._draw(stage, done, total, now - self._begun_s)
        if not streams.is_drawn_on() and self._is_announced and not self._is_forecast:
            self._forecast(stage, done, total, now - self._begun_s)

    def clear(self) -> None:
        """Take the bar off the screen, so that other text can be written."""
        if self._is_drawn:
            self._is_drawn = False
            streams.draw("\r\x1b[K")

    def reset(self) -> None:
        """Forget the stage, so that the same one is announced again."""
        self.clear()
        self._stage = ""

    def _announce(self, stage: str, total: int, seconds: float) -> None:
        after_s = _ANNOUNCED_AFTER_S.get(stage.partition(" ")[0])
        if after_s is None or seconds < after_s or self._is_announced:
            return
        self.clear()
        self._is_announced = True
        streams.note(f"{stage}{_amount(total)}")

    def _forecast(self, stage: str, done: int, total: int, seconds: float) -> None:
        left = _time_left(done, total, seconds)
        if left:
            self._is_forecast = True
            streams.note(f"{stage}: about {left} left")

    def _draw(self, stage: str, done: int, total: int, seconds: float) -> None:
        fraction = min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
        cells = int(fraction * _BAR_CELLS)
        line = f"{stage} [{'#' * cells}{'.' * (_BAR_CELLS - cells)}] {100 * fraction:3.0f} %"
        left = _time_left(done, total, seconds)
        if left:
            line += f", {left} left"
        # A line that wraps could not be erased by \r.
        line = printable(line)[: shutil.get_terminal_size().columns - 1]
        streams.draw(f"\r{line}\x1b[K")
        self._is_drawn = True


def _time_left(done: int, total: int, seconds: float) -> str:
    """By how long what is done has taken; empty while that says little."""
    if seconds <= _TIME_LEFT_AFTER_S or not 0 < done < total:
        return ""
    return _duration(seconds * (total / done - 1))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _amount(total: int) -> str:
    return f" ({total / 1e6:.0f} MB)" if total >= _BYTES_FROM else ""


BAR = Bar()


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        line = f"{level}{record.getMessage()}"
        if _kept is not None:
            _kept.append(line)
            return
        BAR.clear()
        streams.say(line)


_kept: list[str] | None = None


@contextmanager
def log_kept() -> Iterator[None]:
    """Show what is logged meanwhile afterwards, so that it stands in no text's middle."""
    global _kept
    kept = _kept = []
    try:
        yield
    finally:
        _kept = None
        for line in kept:
            streams.say(line)


@contextmanager
def logging_to_stderr(level: int) -> Iterator[None]:
    """Send halfbyte's log from that level to stderr while a command runs."""
    logger = logging.getLogger("halfbyte")
    handler, before, spreads = _Handler(), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    BAR.reset()
    try:
        yield
    finally:
        BAR.clear()
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = spreads
