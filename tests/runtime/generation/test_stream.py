"""How a stream ends: with its completion, an error that stays, or because it was closed."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
from scripted import Letters, ScriptedEngine

from halfbyte.errors import EngineError
from halfbyte.generation.call import Call
from halfbyte.generation.completion import Completion
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.scheduler import Scheduler
from halfbyte.generation.stream import CompletionStream
from halfbyte.generation.terms import Terms
from halfbyte.generation.text_request import TextRequest


class Streams:
    """Makes streams of "aaa..."; `before` is called with the number of each step."""

    def __init__(self) -> None:
        self.schedulers: list[Scheduler] = []

    def __call__(
        self,
        n: int = 5,
        before: Callable[[int], None] = lambda step: None,
        finish: Callable[[Completion], Any] = lambda done: done,
    ) -> CompletionStream[Completion]:
        engine: Any = ScriptedEngine("a" * 900, before=before)
        tokenizer: Any = Letters()
        self.schedulers.append(Scheduler(engine))
        self.request = TextRequest(
            tokenizer, [0], SamplingParams(max_tokens=n), 1000, finish=finish
        )
        call = Call(self.schedulers[-1], [self.request], Terms(), wants_each=True)
        return CompletionStream(call)

    def wait_until_over(self) -> None:
        deadline = time.monotonic() + 60
        while not self.request.is_over:
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.fixture
def stream_of() -> Iterator[Streams]:
    streams = Streams()
    yield streams
    for scheduler in streams.schedulers:
        scheduler.close()


def slow(step: int) -> None:
    """So that a stream is not over before it is closed."""
    time.sleep(0.01)


@pytest.mark.parametrize("at", [1, 3])
def test_an_error_comes_again(stream_of: Streams, at: int) -> None:
    def before(step: int) -> None:
        if step == at:
            raise EngineError("no memory")

    stream = stream_of(before=before)
    text, lengths = "", []
    with pytest.raises(EngineError, match="memory") as first:
        for _ in range(at):
            text += next(stream)
    assert text == "a" * (at - 1)
    for _ in range(4):
        with pytest.raises(EngineError) as caught:
            next(stream)
        assert caught.value is first.value and stream.completion is None
        lengths.append(len(caught.traceback))
    assert lengths[1] == lengths[3]
    with pytest.raises(EngineError, match="memory"):
        stream.result()
    with pytest.raises(EngineError, match="memory"):
        list(stream)


def test_what_fails_at_the_end_leaves_no_completion(stream_of: Streams) -> None:
    def finish(done: Completion) -> Completion:
        raise LookupError("the end")

    stream = stream_of(2, finish=finish)
    with pytest.raises(LookupError):
        "".join(stream)
    with pytest.raises(LookupError):
        next(stream)
    assert stream.completion is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_after_an_interrupt_the_answer_does_not_end_as_if_finished(
    stream_of: Streams, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    stream = stream_of(500, slow)
    assert next(stream) == "a"

    def interrupted() -> None:
        raise error

    monkeypatch.setattr(stream._call, "wait", interrupted)
    with pytest.raises(type(error)):
        "".join(stream)
    stream_of.wait_until_over()  # it was given up
    assert len(stream_of.request.text) < 500
    for call in (stream.__next__, stream.result):
        with pytest.raises(EngineError, match="interrupted") as caught:
            call()
        assert caught.value.__cause__ is error
    assert stream.completion is None


def test_two_threads_on_one_stream_are_an_error_in_one_of_them(stream_of: Streams) -> None:
    entered, may_go_on = threading.Event(), threading.Event()

    def before(step: int) -> None:
        if step == 3:
            entered.set()
            assert may_go_on.wait(60)

    stream = stream_of(before=before)
    pieces: list[str] = []
    other = threading.Thread(target=lambda: pieces.extend(stream))
    other.start()
    assert entered.wait(60)
    while not stream._taking.locked():
        time.sleep(0.001)
    for call in (stream.__next__, stream.result):
        with pytest.raises(EngineError, match="taken"):
            call()
    # Their loop was left by an error; the other one's goes on.
    may_go_on.set()
    other.join()
    assert "".join(pieces) == "aaaaa"
    assert stream.completion is not None and stream.completion.text == "aaaaa"


def test_a_stream_closed_by_another_thread_is_an_error_to_who_waits(stream_of: Streams) -> None:
    entered, may_go_on = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def before(step: int) -> None:
        if step == 3:
            entered.set()
            assert may_go_on.wait(60)

    def take() -> None:
        try:
            "".join(stream)
        except EngineError as error:
            errors.append(error)

    stream = stream_of(before=before)
    other = threading.Thread(target=take)
    other.start()
    assert entered.wait(60)
    while not (stream._taking.locked() and stream._pieces._n_taken == 2):
        time.sleep(0.001)
    stream.close()
    may_go_on.set()
    other.join()
    assert "closed" in str(errors[0]) and stream.completion is None
    assert stream_of.request.is_over and stream_of.request.sequence is None


def test_a_closed_stream_gives_nothing_more(stream_of: Streams) -> None:
    stream = stream_of(500, slow)
    next(stream)
    stream.close()
    stream.close()
    assert list(stream) == [] and stream.completion is None
    stream_of.wait_until_over()
    assert len(stream_of.request.text) < 500
    with pytest.raises(EngineError, match="closed"):
        stream.result()


@pytest.mark.parametrize("way", ["break", "islice", "with", "drop"])
def test_a_stream_that_is_left_is_given_up(stream_of: Streams, way: str) -> None:
    stream: Any = stream_of(800, slow)
    if way == "break":
        for _ in stream:
            break
    elif way == "islice":
        assert len(list(islice(stream, 2))) == 2
    elif way == "with":
        with stream:
            next(stream)
    else:
        del stream
    gc.collect()
    stream_of.wait_until_over()
    assert len(stream_of.request.text) < 800


def test_single_pieces_may_be_taken_before_a_loop(stream_of: Streams) -> None:
    stream = stream_of(4)
    assert next(stream) + "".join(stream) == "aaaa"


def test_closing_after_the_end_keeps_the_completion(stream_of: Streams) -> None:
    stream = stream_of(2)
    assert "".join(stream) == "aa"
    stream.close()
    assert stream.result().text == "aa" and stream.result() is stream.completion


def test_no_tokens_are_an_answer(stream_of: Streams) -> None:
    stream = stream_of(0)
    assert (list(stream), stream.result().finish_reason) == ([], "length")
