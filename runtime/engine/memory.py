"""Memory for arrays, or an EngineError that says for what there was none."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from halfbyte.errors import EngineError

_HINT = "free some, or use a smaller model, a shorter context or fewer sequences"


def zeros(what: str, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """np.zeros; EngineError names what it is and its bytes where there is no memory."""
    return _allocate(np.zeros, what, shape, dtype)


def empty(what: str, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """np.empty; EngineError names what it is and its bytes where there is no memory."""
    return _allocate(np.empty, what, shape, dtype)


class needed_for:
    """EngineError where memory runs out for the many small things of a work.

    Of which some are libraries: the system's loader says so in its own words. Each step passes
    several of these, which a generator would make slower.
    """

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and _is_shortage(error):
            raise shortage(self._what) from error


def shortage(what: str) -> EngineError:
    """What is raised instead of a MemoryError; `what` was being done."""
    return EngineError(f"out of memory while {what}", hint=_HINT)


def _is_shortage(error: BaseException) -> bool:
    if isinstance(error, ImportError):
        return "failed to map" in str(error) or "annot allocate" in str(error)
    return isinstance(error, MemoryError)


def _allocate(make: Any, what: str, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    try:
        return make(shape, dtype)
    # NumPy's own limits of an array's size are a ValueError.
    except (MemoryError, ValueError) as error:
        count = shape if isinstance(shape, int) else math.prod(shape)
        nbytes = count * np.dtype(dtype).itemsize
        raise EngineError(f"out of memory: {nbytes:,} bytes for {what}", hint=_HINT) from error
