"""Work that a thread does beside its caller, who asks for the result later."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")

# Who comes back from work outside of Python waits so long for the other's turn to end: a tenth of
# Python's own, since there are hundreds of matrices to come back from.
_TURN_S = 0.0005


@contextmanager
def done_beside(work: Callable[[], T]) -> Iterator[Future[T]]:
    """Begin `work` in a thread, with the caller's context; its future.

    Where no thread is to be had, it is done at once. The block is left when the work is done,
    whatever ends it.
    """
    context = copy_context()
    with _short_turns(), ThreadPoolExecutor(1, "halfbyte-beside") as executor:
        try:
            future = executor.submit(context.run, work)
        except RuntimeError:  # the system gives no more threads
            future = Future[T]()
            future.set_result(work())
        yield future


_usual_s = list[float]()  # the first is Python's own, as long as somebody is in the block


@contextmanager
def _short_turns() -> Iterator[None]:
    _usual_s.append(sys.getswitchinterval())
    sys.setswitchinterval(min(_usual_s[0], _TURN_S))
    try:
        yield
    finally:
        usual_s = _usual_s[0]
        _usual_s.pop()
        if not _usual_s:
            sys.setswitchinterval(usual_s)
