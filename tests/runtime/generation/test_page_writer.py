"""The thread that writes pages: in order, bounded, there while there is something to write."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from halfbyte.generation.page_writer import PageWriter


class Leaving:
    """What is written, by its name."""

    def __init__(self, name: str, nbytes: int) -> None:
        self.name, self.nbytes = name, nbytes


def leaving(name: str, nbytes: int = 10) -> Any:
    return Leaving(name, nbytes)


class Disk:
    def __init__(self) -> None:
        self.written, self.may_write = "", threading.Event()

    def write(self, one: Any) -> None:
        assert self.may_write.wait(60)
        if one.name == "!":
            raise LookupError("a fault of ours")
        self.written += one.name


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.may_write.set()


def test_pages_are_written_in_order_and_once(disk: Disk) -> None:
    writer = PageWriter(disk.write, 39)
    assert [writer.offer(leaving(name)) for name in "abacd"] == [True] * 4 + [False]
    assert len(writer) == 3 and leaving("a") in writer and leaving("d") not in writer
    assert writer.room == 9
    assert not writer.wait(0.0) and not writer.offer(leaving("d"), 0.001)
    disk.may_write.set()
    assert writer.wait(60) and disk.written == "abc" and len(writer) == 0
    assert writer.offer(leaving("d")) and writer.wait(60) and disk.written == "abcd"


def test_what_is_larger_than_the_bound_is_written_alone(disk: Disk) -> None:
    writer = PageWriter(disk.write, 39)
    assert writer.offer(leaving("a", 100)) and not writer.offer(leaving("b", 1))
    disk.may_write.set()
    assert writer.wait(60) and writer.room == 39
    assert writer.offer(leaving("b", 1)) and writer.wait(60) and disk.written == "ab"


def test_whoever_waits_for_room_gets_it(disk: Disk) -> None:
    writer = PageWriter(disk.write, 19)
    writer.offer(leaving("a"))
    threading.Timer(0.01, disk.may_write.set).start()
    assert all(writer.offer(leaving(name), 60) for name in "bcd")
    assert writer.wait(60) and disk.written == "abcd"


def test_the_thread_ends_with_the_work(disk: Disk) -> None:
    disk.may_write.set()
    writer = PageWriter(disk.write, 99)
    for name in "abc":
        assert writer.offer(leaving(name)) and writer.wait(60)
    for thread in threading.enumerate():
        if thread.name == "halfbyte-disk":
            thread.join(60)
            assert not thread.is_alive()


def test_forgetting(disk: Disk) -> None:
    writer = PageWriter(disk.write, 99)
    assert not writer.forget(0.0)
    for name in "abc":
        writer.offer(leaving(name))
    assert writer.forget(0.0) and len(writer) == 1
    assert not writer.forget(0.0)  # on its way
    disk.may_write.set()
    assert writer.wait(60) and disk.written == "a"


def test_after_a_fault_another_thread_goes_on(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda args: said.set())
    disk.may_write.set()
    writer = PageWriter(disk.write, 99)
    writer.offer(leaving("!"))
    assert said.wait(60) and writer.wait(60)
    assert writer.offer(leaving("a")) and writer.wait(60) and disk.written == "a"
