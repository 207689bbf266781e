"""Work in a thread beside its caller."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from halfbyte.done_beside import done_beside

PLACE: ContextVar[str] = ContextVar("place", default="nowhere")


def test_result_of_another_thread_with_the_callers_context() -> None:
    token = PLACE.set("here")
    try:
        with done_beside(lambda: (PLACE.get(), threading.get_ident())) as future:
            place, thread = future.result()
    finally:
        PLACE.reset(token)
    assert place == "here" and thread != threading.get_ident()


def test_it_goes_on_while_the_caller_does_something_else() -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def work() -> int:
        has_begun.set()
        assert may_end.wait(10)
        return 5

    with done_beside(work) as future:
        assert has_begun.wait(10)
        may_end.set()
        assert future.result() == 5


def test_what_it_raises_comes_to_who_asks() -> None:
    def work() -> None:
        raise KeyError("lost")

    with done_beside(work) as future, pytest.raises(KeyError, match="lost"):
        future.result()


def test_the_block_is_left_when_the_work_is_done() -> None:
    done = threading.Event()
    with pytest.raises(ValueError, match="elsewhere"), done_beside(done.set):
        raise ValueError("elsewhere")
    assert done.is_set()


def test_without_a_thread_it_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    with done_beside(threading.get_ident) as future:
        assert future.result() == threading.get_ident()


def test_turns_are_as_long_as_before() -> None:
    usual_s = sys.getswitchinterval()
    with done_beside(sys.getswitchinterval) as outer, done_beside(int):
        assert outer.result() < usual_s
    assert sys.getswitchinterval() == usual_s
