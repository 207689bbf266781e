"""What stderr shows while work goes on."""

from __future__ import annotations

import io
import logging
from types import SimpleNamespace

import pytest

from halfbyte.cli import progress, streams
from halfbyte.cli.progress import Bar


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    stream = Screen()
    # Not sys.stderr itself: pytest puts its own there between a fixture and its test.
    monkeypatch.setattr(streams, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    return stream


def test_a_bar_is_drawn_and_erased(screen: Screen) -> None:
    bar = Bar()
    bar("load", 1, 4)
    assert screen.getvalue() == f"\rload [{'#' * 6}{'.' * 18}]  25 %\x1b[K"
    bar("load", 4, 4)
    assert screen.getvalue().endswith("\r\x1b[K")


def test_long_stages_leave_a_line(screen: Screen) -> None:
    bar = Bar()
    bar("download x", 0, 93_000_000)
    bar("download x", 1, 93_000_000)
    assert screen.getvalue().startswith("download x (93 MB)\n\rdownload x [")
    assert screen.getvalue().count("\n") == 1


def test_the_time_left_is_shown_once_it_can_be_known(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10.0, 12.0, 110.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    bar = Bar()
    for done in (0, 1, 100):
        bar("load", done, 4_000)
    lines = screen.getvalue().split("\r")
    assert "left" not in lines[2] and lines[3].endswith("  2 %, 1:05:00 left\x1b[K")


def test_a_line_never_wraps(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    Bar()("a stage with a long name", 1, 2)
    assert len(screen.getvalue().removeprefix("\r").removesuffix("\x1b[K")) == 19


@pytest.mark.parametrize(("done", "total"), [(0, 0), (5, 0), (-1, 4), (9, 4)])
def test_odd_numbers(screen: Screen, done: int, total: int) -> None:
    Bar()("load", done, total)


def test_not_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(streams, "sys", SimpleNamespace(stderr=stream))
    bar = Bar()
    for i in range(5):
        bar("download x", i, 5)
    for i in range(5):
        bar("prefill", i, 5)
    assert stream.getvalue() == "download x\n"


def test_elsewhere_the_time_left_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, clock = io.StringIO(), iter([10.0, 12.0, 110.0, 120.0, 130.0, 300.0])
    monkeypatch.setattr(streams, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    bar = Bar()
    for done in (0, 1, 100, 110):
        bar("calibrate", done, 4_000)
    for done in (0, 100):
        bar("prefill", done, 4_000)
    assert stream.getvalue() == "calibrate\ncalibrate: about 1:05:00 left\n"


def test_compilation_is_announced_once_it_takes_long(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    bar = Bar()
    bar("compile", 1, 9)
    bar("compile", 2, 9)
    assert "\n" not in screen.getvalue()
    now += 1.5
    bar("compile", 3, 9)
    bar("compile", 4, 9)
    assert screen.getvalue().count("\n") == 1
    assert "\r\x1b[Kcompile\n\rcompile [" in screen.getvalue()


def test_what_is_logged_beside_a_text_comes_after_it(screen: Screen) -> None:
    log = logging.getLogger("halfbyte.test")
    with progress.logging_to_stderr(progress.WARNING):
        with pytest.raises(KeyboardInterrupt), progress.log_kept():
            log.warning("full")
            assert screen.getvalue() == ""
            raise KeyboardInterrupt
        assert screen.getvalue() == "warning: full\n"
        log.warning("at once")
    assert screen.getvalue() == "warning: full\nwarning: at once\n"
