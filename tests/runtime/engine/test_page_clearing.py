"""Pages are there before anybody touches them, and what stands in memory stays."""

from __future__ import annotations

import mmap
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import halfbyte
from halfbyte import loading
from halfbyte.cli import main
from halfbyte.engine import page_clearing, rooms
from halfbyte.engine.page_clearing import (
    begun_for,
    begun_memory,
    begun_nbytes,
    cleared_ahead,
)
from halfbyte.engine.rooms import Rooms

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

    def clear(clearing: object, begin: int, end: int, stop: threading.Event) -> None:
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


# --- before anybody asks ----------------------------------------------------------------------

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is cleared ahead")
ENOUGH = 4 << 30


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file that has some size and no byte."""
    file = tmp_path / "model.gguf"
    file.touch()
    os.truncate(file, NBYTES)
    return str(file)


@linux
@pytest.mark.parametrize("nbytes", [NBYTES - 100_000, NBYTES, NBYTES + 5_000_000])
def test_weights_find_what_was_begun(path: str, nbytes: int) -> None:
    before = _resident_nbytes()
    with begun_for(path, ENOUGH):
        deadline = time.monotonic() + 60
        while begun_nbytes() < NBYTES and time.monotonic() < deadline:
            time.sleep(0.001)
        assert begun_nbytes() == NBYTES
        assert _resident_nbytes() - before >= 0.9 * NBYTES
        assert Rooms({}, None).memory.nbytes == 64 and begun_nbytes() == 0
    with begun_for(path, ENOUGH):
        found = begun_memory(nbytes)
        assert found is not None and len(found) == -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        assert begun_memory(nbytes) is None
    memory = np.frombuffer(found, np.uint8)
    assert not memory.any()
    memory[[0, -1]] = 1  # nobody has given it back


@linux
def test_what_nobody_takes_is_given_back(path: str) -> None:
    threads, before = set(threading.enumerate()), _resident_nbytes()
    with pytest.raises(KeyError), begun_for(path, ENOUGH):
        raise KeyError
    assert set(threading.enumerate()) == threads and begun_nbytes() == 0
    assert begun_memory(100) is None and _resident_nbytes() - before < NBYTES // 2


def test_nothing_is_begun_without_room_or_for_other_things(path: str, tmp_path: Path) -> None:
    other, small = tmp_path / "model.bin", tmp_path / "small.gguf"
    other.write_bytes(bytes(NBYTES))
    small.write_bytes(b"GGUF")
    for name, available in (
        (path, None), (path, NBYTES), (str(other), ENOUGH), (str(small), ENOUGH),
        (str(tmp_path), ENOUGH), ("smollm2-135m", ENOUGH), ("a\0.gguf", ENOUGH),
        (str(tmp_path / "no.gguf"), ENOUGH),
    ):  # fmt: skip
        with begun_for(name, available):
            assert begun_memory(100) is None


@linux
def test_memory_that_was_begun_with_counts_as_available(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halfbyte.system, "available_memory", lambda: 10)
    with begun_for(path, ENOUGH):
        deadline = time.monotonic() + 60
        while begun_nbytes() < NBYTES and time.monotonic() < deadline:
            time.sleep(0.001)
        assert loading._available_memory() == 10 + NBYTES
    assert loading._available_memory() == 10


@linux
def test_a_command_begins_before_its_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And answers as ever."""
    path = str(Path(halfbyte.__file__).parent / "data" / "infill-10m.gguf")
    command = ["complete", "-m", path, "-p", "def f(x):", "-n", "8", "-q"]
    taken = list[int]()

    def take(nbytes: int) -> mmap.mmap | None:
        found = begun_memory(nbytes)
        taken.append(0 if found is None else len(found) - nbytes)
        return found

    monkeypatch.setattr(rooms, "begun_memory", take)
    answers = list[str]()
    for least in (16 << 20, 1 << 20):
        monkeypatch.setattr(page_clearing, "_MIN_NBYTES", least)
        assert main(command) == 0
        answers.append(capfd.readouterr().out)
    assert taken[0] == 0 < len(answers[0]) and answers[0] == answers[1]
    assert 0 <= taken[1] < mmap.PAGESIZE
