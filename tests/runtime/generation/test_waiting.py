"""A signal that another thread was told of reaches the main thread, which waits."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue

import pytest

from halfbyte.generation.waiting import join, next_of


@pytest.fixture
def other() -> Iterator[threading.Thread]:
    """A thread that takes the signal, and goes on until this one has been told."""
    told = threading.Event()

    def take() -> None:
        time.sleep(0.05)  # until the other one waits
        signal.pthread_kill(threading.get_ident(), signal.SIGALRM)
        told.wait(60)

    def handler(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGALRM, handler)
    try:
        yield threading.Thread(target=take)
    finally:
        signal.signal(signal.SIGALRM, former)
        told.set()


@pytest.mark.parametrize("timeout", [None, 50.0])
@pytest.mark.parametrize("of", ["queue", "thread"])
def test_a_signal_is_heard(other: threading.Thread, of: str, timeout: float | None) -> None:
    queue: SimpleQueue[int] = SimpleQueue()
    waits: dict[str, Callable[[], object]] = {
        "queue": lambda: next_of(queue, timeout),
        "thread": lambda: join(other, timeout),
    }
    with pytest.raises(KeyboardInterrupt):
        other.start()
        waits[of]()


def test_what_has_come_is_taken_and_time_passes() -> None:
    queue: SimpleQueue[int] = SimpleQueue()
    queue.put(1)
    assert next_of(queue, 0) == 1
    for timeout in (0, 0.01):
        with pytest.raises(Empty):
            next_of(queue, timeout)
    may_end = threading.Event()
    thread = threading.Thread(target=may_end.wait)
    thread.start()
    join(thread, 0.01)
    assert thread.is_alive()
    may_end.set()
    join(thread)
    assert not thread.is_alive()
