"""Memory for arrays, or an EngineError that says for what there was none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def needed_for(what: str) -> Iterator[None]:
    """EngineError where memory runs out for the many small things of a work.

    Of which some are libraries: the system's loader says so in its own words.
    """
    try:
        yield
    except MemoryError as error:
        raise shortage(what) from error
    except ImportError as error:
        if "failed to map" in str(error) or "annot allocate" in str(error):
            raise shortage(what) from error
        raise


def shortage(what: str) -> EngineError:
    """What is raised instead of a MemoryError; `what` was being done."""
    return EngineError(f"out of memory while {what}", hint=_HINT)


def _allocate(make: Any, what: str, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    try:
        return make(shape, dtype)
    # NumPy's own limits of an array's size are a ValueError.
    except (MemoryError, ValueError) as error:
        count = shape if isinstance(shape, int) else math.prod(shape)
        nbytes = count * np.dtype(dtype).itemsize
        raise EngineError(f"out of memory: {nbytes:,} bytes for {what}", hint=_HINT) from error
