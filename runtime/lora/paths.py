"""Adapters as callers name them: a path, a pair of path and scale, or a list of these."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable
from typing import Any, TypeAlias, TypeGuard

from halfbyte.call_arguments import check_path
from halfbyte.errors import RequestError

AdapterPath: TypeAlias = str | os.PathLike[str] | tuple[str | os.PathLike[str], float]
AdapterPaths: TypeAlias = AdapterPath | Iterable[AdapterPath] | None

MAX_SCALE = 1e6


def adapter_paths(adapter: object, scale: object = 1.0) -> list[tuple[str, float]]:
    """Paths and scales of an argument `adapter`; `scale` for those without their own.

    Raises:
        RequestError: neither paths nor pairs, or a scale that is none.
    """
    usual = check_scale(scale, "adapter_scale")
    if adapter is None:
        return []
    if isinstance(adapter, (str, bytes, os.PathLike)) or is_pair(adapter):
        adapter = [adapter]
    if not isinstance(adapter, Iterable):
        check_path("adapter", adapter)
        return []
    found: list[tuple[str, float]] = []
    for one in adapter:
        path, own = one if is_pair(one) else (one, usual)
        found.append((check_path("adapter", path), check_scale(own, "adapter")))
    return found


def is_pair(value: object) -> TypeGuard[tuple[Any, Any]]:
    """Whether it is a name or path with a scale, and no list of them."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], numbers.Real)


def check_scale(scale: object, param: str) -> float:
    """A scale; RequestError names the argument `param` where it is none."""
    if not isinstance(scale, bool) and isinstance(scale, numbers.Real):
        value = float(scale)
        if math.isfinite(value) and abs(value) <= MAX_SCALE:
            return value
    expected = f"a scale, a number from -{MAX_SCALE:g} to {MAX_SCALE:g}"
    raise RequestError(param, expected=expected, got=repr(scale))
