"""Calls that nobody waits for end in time, and keep nothing."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from scripted import ScriptedEngine, request_of

from halfbyte.errors import EngineError, RequestTimeoutError
from halfbyte.generation.call import Call
from halfbyte.generation.deadlines import Deadlines
from halfbyte.generation.request import Request
from halfbyte.generation.scheduler import Scheduler
from halfbyte.generation.stream import CompletionStream
from halfbyte.generation.terms import Terms


def wait_until_over(request: Request) -> None:
    deadline = time.monotonic() + 60
    while not request.is_over:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("name", ["timeout", "max_time"])
def test_a_stream_that_is_not_read_ends_in_time(name: str) -> None:
    def before(step: int) -> None:
        if step == 3:
            time.sleep(0.1)  # beyond the limit

    engine: Any = ScriptedEngine("abcdefgh", before=before)
    request, limit = request_of([0]), {name: 0.05}
    with closing(Scheduler(engine)) as scheduler:
        call = Call(scheduler, [request], Terms(**limit), wants_each=True)
        stream: CompletionStream[Any] = CompletionStream(call)
        wait_until_over(request)
        text = ""
        if name == "max_time":
            text = stream.result().text
            assert stream.completion is not None and stream.completion.finish_reason == "time"
        else:
            with pytest.raises(RequestTimeoutError):
                for piece in stream:
                    text += piece
        assert "abcdefgh".startswith(text) and len(text) <= 3


def test_a_step_that_takes_long_is_ended_in_time() -> None:
    """Of a stream that is not read, too: the clock is looked at while the step runs."""
    request = request_of([0])

    def before(step: int) -> None:
        end_s = time.monotonic() + 60
        while step == 3 and not request.is_cancelled:
            assert time.monotonic() < end_s
            time.sleep(0.001)

    engine: Any = ScriptedEngine("abcdefgh", before=before)
    with closing(Scheduler(engine)) as scheduler:
        call = Call(scheduler, [request], Terms(timeout=0.1), wants_each=True)
        stream: CompletionStream[Any] = CompletionStream(call)
        wait_until_over(request)
        with pytest.raises(RequestTimeoutError) as caught:
            stream.result()
    assert caught.value.completion.text == "ab" and len(engine.steps) == 3


class Timed:
    """A call with a clock of its own."""

    def __init__(self, left_s: float | None) -> None:
        self.end_s = None if left_s is None else time.monotonic() + left_s
        self.has_ended = threading.Event()

    def seconds_left(self) -> float | None:
        return None if self.end_s is None else max(self.end_s - time.monotonic(), 0.0)

    def end_if_late(self) -> None:
        assert self.seconds_left() == 0
        self.has_ended.set()


@pytest.fixture
def deadlines() -> Iterator[Deadlines]:
    with closing(Deadlines()) as one:
        yield one


def test_each_ends_when_it_is_late(deadlines: Deadlines) -> None:
    never, late, soon, later = Timed(None), Timed(1e9), Timed(0.05), Timed(0.1)
    for call in (never, late, later, soon):
        deadlines.add(call)
    assert soon.has_ended.wait(60) and later.has_ended.wait(60)
    assert not (never.has_ended.is_set() or late.has_ended.is_set())
    at_once = Timed(0.0)
    deadlines.add(at_once)
    assert at_once.has_ended.wait(60)


def test_many_that_come_keep_none_from_ending(deadlines: Deadlines) -> None:
    soon, end_s = Timed(0.05), time.monotonic() + 60
    deadlines.add(soon)
    while not soon.has_ended.is_set():
        deadlines.add(Timed(1000.0))
        assert time.monotonic() < end_s


def test_a_call_is_not_kept(deadlines: Deadlines) -> None:
    call, after = Timed(1000.0), Timed(0.0)
    deadlines.add(call)
    deadlines.add(after)
    assert after.has_ended.wait(60)  # the first one was taken
    gone = weakref.ref(call)
    del call
    gc.collect()
    assert gone() is None


def test_nothing_runs_that_is_not_needed() -> None:
    before = set(threading.enumerate())
    deadlines = Deadlines()
    deadlines.add(Timed(None))
    assert set(threading.enumerate()) == before
    deadlines.add(Timed(1000.0))
    deadlines.add(Timed(1000.0))
    assert len(set(threading.enumerate()) - before) == 1
    deadlines.close()
    assert set(threading.enumerate()) == before


def test_no_thread_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(EngineError, match="no thread"):
        Deadlines().add(Timed(1000.0))


def test_a_limit_of_a_call_that_is_over_is_none() -> None:
    engine: Any = ScriptedEngine("ab")
    with closing(Scheduler(engine)) as scheduler:
        request = request_of([0])
        with Call(scheduler, [request], Terms(timeout=0.2)) as call:
            list(call.follow())
        threading.Event().wait(0.25)
        call.end_if_late()
        assert call.seconds_left() is None and request.finish_reason == "stop"
