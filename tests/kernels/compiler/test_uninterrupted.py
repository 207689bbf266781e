"""Work that a signal's exception does not end halfway."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from halfbyte.kernels.compiler.uninterrupted import (
    Abandoned,
    is_unfinished,
    leave_if_unwanted,
    uninterrupted,
)


class Timeout(Exception):
    """What a server's alarm raises."""


@pytest.fixture
def alarm() -> Iterator[Callable[[], None]]:
    """Sends the signal whose handler raises."""

    def handler(signum: int, frame: object) -> None:
        raise Timeout

    before = signal.signal(signal.SIGALRM, handler)
    yield lambda: os.kill(os.getpid(), signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


def test_results_and_errors_reach_the_caller() -> None:
    assert uninterrupted(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        uninterrupted(lambda: 1 // 0)
    assert uninterrupted(lambda: uninterrupted(threading.current_thread)).name != "MainThread"


def test_other_threads_do_the_work_themselves() -> None:
    seen: list[threading.Thread] = []
    thread = threading.Thread(target=lambda: seen.append(uninterrupted(threading.current_thread)))
    thread.start()
    thread.join()
    assert seen == [thread]


def test_the_caller_leaves_at_once_and_the_work_is_finished(alarm: Callable[[], None]) -> None:
    go_on, done = threading.Event(), threading.Event()

    def work() -> None:
        alarm()
        assert go_on.wait(30)
        done.set()

    with pytest.raises(Timeout):
        uninterrupted(work)
    assert is_unfinished() and not done.is_set()
    go_on.set()
    assert done.wait(30)


def test_unwanted_work_ends_where_it_asks(alarm: Callable[[], None]) -> None:
    left, ended = threading.Event(), threading.Event()

    def work() -> None:
        leave_if_unwanted()
        alarm()
        assert left.wait(30)
        try:
            leave_if_unwanted()
        except Abandoned:
            ended.set()
            raise

    with pytest.raises(Timeout):
        uninterrupted(work)
    left.set()
    assert ended.wait(30)
    leave_if_unwanted()  # nobody has left the main thread


def test_without_another_thread_it_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert uninterrupted(threading.current_thread) is threading.main_thread()
    assert not is_unfinished()
