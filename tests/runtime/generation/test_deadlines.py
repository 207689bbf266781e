"""Calls that nobody waits for end in time, and keep nothing."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from contextlib import closing
from typing import Any

import pytest
from scripted import ScriptedEngine, request_of

from halfbyte.errors import RequestTimeoutError
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


class Timed:
    """A call with a clock of its own."""

    def __init__(self, left_s: float | None) -> None:
        self.left_s, self.has_ended = left_s, False

    def seconds_left(self) -> float | None:
        return self.left_s

    def end_if_late(self) -> None:
        self.has_ended = self.left_s == 0


def test_each_ends_when_it_is_late() -> None:
    deadlines, calls = Deadlines(), [Timed(0.0), Timed(None), Timed(1000.0)]
    for call in calls:
        deadlines.add(call)
    deadlines.look()
    assert [call.has_ended for call in calls] == [True, False, False]
    calls[2].left_s, another = 0.0, Timed(0.0)
    deadlines.look()
    assert not calls[2].has_ended  # nobody looks at it before
    deadlines.add(another)
    deadlines.look()
    assert calls[2].has_ended and another.has_ended


def test_a_call_is_not_kept() -> None:
    deadlines, call = Deadlines(), Timed(1000.0)
    deadlines.add(call)
    gone = weakref.ref(call)
    del call
    gc.collect()
    assert gone() is None


def test_a_limit_of_a_call_that_is_over_is_none() -> None:
    engine: Any = ScriptedEngine("ab")
    with closing(Scheduler(engine)) as scheduler:
        request = request_of([0])
        with Call(scheduler, [request], Terms(timeout=0.2)) as call:
            list(call.follow())
        threading.Event().wait(0.25)
        call.end_if_late()
        assert call.seconds_left() is None and request.finish_reason == "stop"
