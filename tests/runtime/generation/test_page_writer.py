"""The thread that writes pages: in order, bounded, there while there is something to write."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from halfbyte.generation.page_writer import LeavingPage, PageWriter


class Node:
    """What is written, by its digest."""

    def __init__(self, name: str) -> None:
        self.digest = name.encode()


def leaving(name: str) -> LeavingPage:
    node: Any = Node(name)
    return LeavingPage(node, b"")


class Disk:
    def __init__(self) -> None:
        self.written, self.may_write = "", threading.Event()

    def write(self, page: LeavingPage) -> None:
        assert self.may_write.wait(60)
        if page.node.digest == b"!":
            raise LookupError("a fault of ours")
        self.written += page.node.digest.decode()


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.may_write.set()


def test_pages_are_written_in_order_and_once(disk: Disk) -> None:
    writer = PageWriter(disk.write, 3)
    assert [writer.offer(leaving(name)) for name in "abacd"] == [True] * 4 + [False]
    assert len(writer) == 3 and leaving("a").node in writer and leaving("d").node not in writer
    assert not writer.wait(0.0) and not writer.offer(leaving("d"), 0.001)
    disk.may_write.set()
    assert writer.wait(60) and disk.written == "abc" and len(writer) == 0
    assert writer.offer(leaving("d")) and writer.wait(60) and disk.written == "abcd"


def test_whoever_waits_for_room_gets_it(disk: Disk) -> None:
    writer = PageWriter(disk.write, 1)
    writer.offer(leaving("a"))
    threading.Timer(0.01, disk.may_write.set).start()
    assert all(writer.offer(leaving(name), 60) for name in "bcd")
    assert writer.wait(60) and disk.written == "abcd"


def test_the_thread_ends_with_the_work(disk: Disk) -> None:
    disk.may_write.set()
    writer = PageWriter(disk.write, 9)
    for name in "abc":
        assert writer.offer(leaving(name)) and writer.wait(60)
    for thread in threading.enumerate():
        if thread.name == "halfbyte-disk":
            thread.join(60)
            assert not thread.is_alive()


def test_forgetting(disk: Disk) -> None:
    writer = PageWriter(disk.write, 9)
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
    writer = PageWriter(disk.write, 9)
    writer.offer(leaving("!"))
    assert said.wait(60) and writer.wait(60)
    assert writer.offer(leaving("a")) and writer.wait(60) and disk.written == "a"
