"""Work that a signal's exception does not end halfway."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from halfbyte.kernels.compiler import uninterrupted as uninterrupted_module
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
    inner = uninterrupted(lambda: uninterrupted(threading.get_ident))
    assert inner != threading.get_ident()


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


def test_a_signal_that_another_thread_was_told_of_is_noticed(alarm: Callable[[], None]) -> None:
    """The system chooses a thread of the process; Python handles it in the main one."""
    go_on = threading.Event()

    def work() -> bool:
        signal.pthread_kill(threading.get_ident(), signal.SIGALRM)
        return go_on.wait(30)

    with pytest.raises(Timeout):
        uninterrupted(work)
    assert is_unfinished()
    go_on.set()


def test_unwanted_work_ends_where_it_asks(alarm: Callable[[], None]) -> None:
    left, ended = threading.Event(), threading.Event()
    threads: list[int] = []

    def work() -> None:
        threads.append(threading.get_ident())
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
    assert threads != [threading.get_ident()]
    assert ended.wait(30)
    leave_if_unwanted()  # nobody has left the main thread


def test_without_another_thread_it_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(function: object, args: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", start)
    monkeypatch.setattr(uninterrupted_module, "_PAUSE_S", 0.001)
    assert uninterrupted(threading.current_thread) is threading.main_thread()
    assert not is_unfinished()


def test_a_thread_that_starts_a_little_later_does_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, refusals = _thread.start_new_thread, [RuntimeError("can't start new thread")] * 2

    def start(function: Callable[[], None], args: tuple[()]) -> int:
        if refusals:
            raise refusals.pop()
        return real(function, args)

    monkeypatch.setattr(_thread, "start_new_thread", start)
    assert uninterrupted(threading.get_ident) != threading.get_ident()


def test_a_thread_that_never_begins_is_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thread, "start_new_thread", lambda function, args: 1)
    monkeypatch.setattr(uninterrupted_module, "_PATIENCE_S", 0.01)
    with pytest.raises(MemoryError):
        uninterrupted(lambda: 42)
    assert not is_unfinished()
