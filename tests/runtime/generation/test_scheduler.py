"""Threads, timeouts, cancellation and the end, with an engine that plays back a script."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from functools import partial
from typing import Any

import pytest
from scripted import ScriptedEngine, request_of

from halfbyte.errors import EngineError, RequestTimeoutError
from halfbyte.generation import scheduler as scheduling
from halfbyte.generation.call import Call
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.scheduler import Scheduler
from halfbyte.generation.terms import Terms
from halfbyte.generation.text_request import TextRequest
from halfbyte.progress import silent


class Gate:
    """Holds an engine at a step until it is opened; `is_reached` once it stands there."""

    def __init__(self, at: int) -> None:
        self.at, self.is_reached, self._is_open = at, threading.Event(), threading.Event()

    def __call__(self, step: int) -> None:
        if step == self.at:
            self.is_reached.set()
            assert self._is_open.wait(60)

    def open(self) -> None:
        self._is_open.set()


@pytest.fixture
def started() -> Iterator[Callable[..., Scheduler]]:
    """Makes schedulers, and closes them."""
    made: list[Scheduler] = []

    def start(engine: Any) -> Scheduler:
        made.append(Scheduler(engine))
        return made[-1]

    yield start
    for scheduler in made:
        scheduler.close()


def texts(scheduler: Scheduler, *requests: TextRequest, **terms: Any) -> list[str]:
    with Call(scheduler, requests, Terms(**terms)) as call:
        for _ in call.follow():
            pass
    return [request.text for request in requests]


def test_callers_of_many_threads_get_their_own(started: Any) -> None:
    scripts = [f"answer {i} " * 5 for i in range(20)]
    scheduler = started(ScriptedEngine(*scripts))
    got: dict[int, list[str]] = {}

    def ask(i: int) -> None:
        got[i] = texts(scheduler, request_of([i]))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {i: [script] for i, script in enumerate(scripts)}


def test_a_timeout_holds_what_there_is_and_frees_the_rest(started: Any) -> None:
    gate = Gate(4)
    scheduler = started(ScriptedEngine("abcdefgh", before=gate))
    request = request_of([0])
    threading.Timer(0.5, gate.open).start()
    with pytest.raises(RequestTimeoutError, match=r"0\.1 s") as caught:
        texts(scheduler, request, timeout=0.1)
    assert isinstance(caught.value, TimeoutError) and caught.value.timeout == 0.1
    assert caught.value.completion.text == "abc"
    assert caught.value.completion.finish_reason == "timeout"
    assert request.is_over and request.sequence is None
    assert texts(scheduler, request_of([0])) == ["abcdefgh"]


def test_a_timeout_holds_though_something_always_comes(started: Any) -> None:
    """As where a callback is slower than the steps."""
    gate = Gate(3)
    scheduler, request = started(ScriptedEngine("abcdefgh", before=gate)), request_of([0])
    with Call(scheduler, [request], Terms(timeout=0.05), wants_each=True) as call:
        assert gate.is_reached.wait(60)
        time.sleep(0.1)
        call.wait()  # there is news of two steps
        assert request.is_cancelled
        gate.open()


def test_of_a_list_those_that_are_done_keep_their_reason(started: Any) -> None:
    gate = Gate(4)
    scheduler = started(ScriptedEngine("a", "bcdefgh", before=gate))
    threading.Timer(0.5, gate.open).start()
    with pytest.raises(RequestTimeoutError) as caught:
        texts(scheduler, request_of([0]), request_of([1]), timeout=0.1)
    assert [(c.text, c.finish_reason) for c in caught.value.completion] == [
        ("a", "stop"), ("bcd", "timeout"),
    ]  # fmt: skip


def test_cancelling_from_another_thread(started: Any) -> None:
    gate = Gate(3)
    scheduler = started(ScriptedEngine("abcdefgh", "xy", before=gate))
    request, other = request_of([0]), request_of([1])
    call, beside = Call(scheduler, [request], Terms()), Call(scheduler, [other], Terms())
    call.begin()
    beside.begin()
    assert gate.is_reached.wait(60)
    call.cancel()
    gate.open()
    with pytest.raises(EngineError, match="given up"):
        list(call.follow())
    assert request.is_over
    assert len(request.text) < 8 and request.finish_reason == ""
    list(beside.follow())
    assert other.text == "xy"


def test_leaving_the_block_gives_up(started: Any) -> None:
    gate = Gate(2)
    scheduler, request = started(ScriptedEngine("abcdefgh", before=gate)), request_of([0])
    with pytest.raises(KeyboardInterrupt), Call(scheduler, [request], Terms()) as call:
        assert gate.is_reached.wait(60)
        raise KeyboardInterrupt
    gate.open()
    with pytest.raises(EngineError, match="given up"):
        list(call.follow())
    assert request.is_over and request.text == "a"


def test_a_signal_that_the_engines_thread_was_told_of_reaches_the_caller(started: Any) -> None:
    opened = threading.Event()

    def before(step: int) -> None:
        if step == 2:
            signal.pthread_kill(threading.get_ident(), signal.SIGALRM)
            assert opened.wait(60)

    def handler(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    request, scheduler = request_of([0]), started(ScriptedEngine("abc", before=before))
    former = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            texts(scheduler, request)
    finally:
        signal.signal(signal.SIGALRM, former)
        opened.set()
    assert request.is_cancelled


def test_a_callback_that_raises_ends_its_own_call(started: Any) -> None:
    scheduler = started(ScriptedEngine("abc", "def"))

    def fail(stage: str, done: int, total: int) -> None:
        raise LookupError(stage)

    other = request_of([1])
    beside = Call(scheduler, [other], Terms())
    beside.begin()
    with pytest.raises(LookupError, match="prefill"):
        with Call(scheduler, [request_of([0])], Terms(), fail) as call:
            list(call.follow())
    list(beside.follow())
    assert other.text == "def" and texts(scheduler, request_of([0])) == ["abc"]


def test_progress_comes_in_order_to_the_thread_that_waits(started: Any) -> None:
    scheduler, seen = started(ScriptedEngine("ab")), []

    def note(*step: object) -> None:
        seen.append((*step, threading.get_ident()))

    request = request_of([0] * 600)
    with Call(scheduler, [request], Terms(), note, decoded=lambda r: (request.n_generated, 9)) as c:
        list(c.follow())
    me = threading.get_ident()
    assert seen == [
        ("prefill", 256, 600, me), ("prefill", 512, 600, me), ("prefill", 600, 600, me),
        ("decode", 1, 9, me), ("decode", 2, 9, me),
    ]  # fmt: skip


def test_a_closed_scheduler_ends_what_is_on_its_way_and_takes_no_more(started: Any) -> None:
    gate = Gate(3)
    scheduler = started(ScriptedEngine("abcdefgh", before=gate))
    calls = [Call(scheduler, [request_of([0])], Terms()) for _ in range(2)]
    for call in calls:
        call.begin()
    assert gate.is_reached.wait(60)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    gate.open()
    for call in calls:
        with pytest.raises(EngineError, match="closed"):
            list(call.follow())
    closing.join()
    with pytest.raises(EngineError, match="closed"):
        texts(scheduler, request_of([0]))
    with pytest.raises(EngineError, match="closed"):
        list(calls[0].follow())


def test_a_fault_of_the_thread_leaves_nobody_waiting(started: Any) -> None:
    class Broken(ScriptedEngine):
        def forward(self, spans: Any, abort: Any = None) -> Any:
            raise LookupError("a fault")

    scheduler, done = started(Broken("a")), list[int]()
    uses: list[Callable[[], Any]] = [
        partial(texts, scheduler, request_of([0])),
        partial(texts, scheduler, request_of([0])),  # who comes later is told the same
        partial(scheduler.between_steps, partial(done.append, 1)),
    ]
    for use in uses:
        with pytest.raises(EngineError, match="a fault") as caught:
            use()
        assert isinstance(caught.value.__cause__, LookupError)
    assert not done


def test_a_model_that_keeps_the_interpreter_from_ending_is_a_word(
    started: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(1)
    made = started(ScriptedEngine("abc", before=gate))
    monkeypatch.setattr(scheduling, "_workers", {made._worker})
    monkeypatch.setattr(scheduling, "_ENDING_S", 0.01)
    Call(made, [request_of([0])], Terms()).begin()
    assert gate.is_reached.wait(60)
    scheduling._end()
    assert "has not ended" in caplog.text
    caplog.clear()
    gate.open()
    made._worker.thread.join(60)
    scheduling._end()
    assert not caplog.text


def test_work_between_steps(started: Any) -> None:
    scheduler = started(ScriptedEngine("a"))
    inside = scheduler.between_steps(threading.get_ident)
    assert inside not in (threading.get_ident(), None)
    with pytest.raises(ZeroDivisionError):
        scheduler.between_steps(lambda: 1 // 0)


def test_a_dropped_scheduler_ends_its_thread() -> None:
    scheduler = Scheduler(ScriptedEngine("abc"))  # type: ignore[arg-type]
    assert texts(scheduler, request_of([0])) == ["abc"]
    thread = scheduler._worker.thread
    gone = weakref.ref(scheduler)
    del scheduler
    gc.collect()
    thread.join(60)
    assert gone() is None and not thread.is_alive()


def test_a_prompt_that_was_given_up_keeps_nothing_alive() -> None:
    gate = Gate(1)
    scheduler = Scheduler(ScriptedEngine("abc", before=gate))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt), Call(scheduler, [request_of([0] * 900)], Terms()):
        assert gate.is_reached.wait(60)
        raise KeyboardInterrupt
    gate.open()
    assert texts(scheduler, request_of([0])) == ["abc"]
    thread = scheduler._worker.thread
    del scheduler
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_what_came_of_a_request_is_freed_with_it(started: Any) -> None:
    scheduler, request = started(ScriptedEngine("abc")), request_of([0])
    gc.collect()
    gc.disable()
    try:
        assert texts(scheduler, request) == ["abc"]
        gone = weakref.ref(request)
        del request
        assert gone() is None
    finally:
        gc.enable()


def test_whoever_is_collected_in_the_thread_cannot_wait_for_it(started: Any) -> None:
    errors: list[Exception] = []

    def use_again(step: int) -> None:
        for use in (partial(texts, scheduler, request_of([0])), partial(work, int)):
            try:
                use()
            except EngineError as error:
                errors.append(error)

    scheduler = started(ScriptedEngine("ab", before=use_again))
    work = scheduler.between_steps
    assert texts(scheduler, request_of([0])) == ["ab"]
    assert len(errors) == 6 and all("__del__" in str(error) for error in errors)


def test_no_work_is_done_after_the_end(started: Any) -> None:
    scheduler, done = started(ScriptedEngine("a")), []
    scheduler.close()
    with pytest.raises(EngineError, match="closed"):
        scheduler.between_steps(lambda: done.append(1))
    assert not done


def test_those_who_come_too_late_do_not_end_each_other(
    started: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[int] = []
    most: list[int] = []

    def fail(batch: RunningBatch, error: BaseException) -> None:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()

    scheduler = started(ScriptedEngine("abc"))
    scheduler.close()
    monkeypatch.setattr(RunningBatch, "fail", fail)
    threads = [threading.Thread(target=scheduler._do, args=(int,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4


def test_without_a_thread_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(EngineError, match="no thread"):
        Scheduler(ScriptedEngine())  # type: ignore[arg-type]


def test_nobody_waits_for_nothing(started: Any) -> None:
    scheduler = started(ScriptedEngine("a"))
    requests: Seq[TextRequest] = [request_of([0])]
    requests[0].finish_reason = "length"  # as where an earlier answer has it all
    with Call(scheduler, requests, Terms(), silent) as call:
        assert len(list(call.follow())) >= 1
    assert requests[0].finish_reason == "length"
