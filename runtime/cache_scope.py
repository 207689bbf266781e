"""Whose prompts are remembered together: a name that what is remembered belongs to.

What a model remembers makes later calls faster, so how long a call takes tells what was asked
before. Calls of one scope share what is remembered; those of another, and those of none, cannot
tell that it is there. The bits of an answer are the same in every scope.

The scope is a context's, as everything that a call makes is made in its caller's thread, or in one
with a copy of its context: whatever remembers asks `current_scope` when a request is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

from halfbyte.errors import RequestError

_MOST = 256  # characters

_scope: ContextVar[str | None] = ContextVar("cache_scope", default=None)
T = TypeVar("T")

current_scope = _scope.get


@contextmanager
def scoped(scope: str | None) -> Iterator[None]:
    """Have what is made here belong to a scope; None changes nothing.

    Raises:
        RequestError: it is no text of 1 to 256 characters.
    """
    if scope is None:
        yield
        return
    if not isinstance(scope, str) or not 1 <= len(scope) <= _MOST:
        expected = f"a text of 1 to {_MOST} characters, or None"
        raise RequestError("cache_scope", expected=expected, got=repr(scope))
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)


def takes_scope(work: Callable[..., T]) -> Callable[..., T]:
    """Give a function the keyword `cache_scope`, in which it then runs."""

    @wraps(work)
    def scoped_work(*args: Any, cache_scope: str | None = None, **keywords: Any) -> T:
        with scoped(cache_scope):
            return work(*args, **keywords)

    return scoped_work
