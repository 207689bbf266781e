"""Pages are there before anybody touches them, and what stands in memory stays."""

from __future__ import annotations

import mmap
import sys
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from halfbyte.engine import page_clearing
from halfbyte.engine.page_clearing import cleared_ahead

NBYTES = 32 << 20


def _mapped() -> NDArray[np.uint8]:
    """Memory that nobody has touched yet."""
    return np.frombuffer(mmap.mmap(-1, NBYTES), np.uint8)


def _resident_nbytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has MADV_POPULATE_WRITE")
def test_pages_come_and_contents_stay() -> None:
    memory, before = _mapped(), _resident_nbytes()
    memory[[5, NBYTES // 2, NBYTES - 1]] = 7
    assert _resident_nbytes() - before < NBYTES // 2
    with cleared_ahead(memory) as same:
        deadline = time.monotonic() + 60
        while _resident_nbytes() - before < 0.9 * NBYTES and time.monotonic() < deadline:
            time.sleep(0.001)
    assert same is memory
    assert _resident_nbytes() - before >= 0.9 * NBYTES
    assert np.flatnonzero(memory).tolist() == [5, NBYTES // 2, NBYTES - 1]


def test_leaving_the_block_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    before, begun = set(threading.enumerate()), threading.Event()

    def clear(memory: NDArray[np.uint8], stop: threading.Event) -> None:
        begun.set()
        stop.wait()

    monkeypatch.setattr(page_clearing, "_clear", clear)
    monkeypatch.setattr(page_clearing.sys, "platform", "linux")
    with pytest.raises(KeyError), cleared_ahead(_mapped()):
        assert begun.wait(60)
        raise KeyError
    assert set(threading.enumerate()) == before


def test_without_a_thread_memory_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with cleared_ahead(_mapped()) as memory:
        memory[:] = 1
    assert memory.all()
