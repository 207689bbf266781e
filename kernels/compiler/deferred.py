"""Numba's names for the files that describe kernels, without Numba.

A process whose kernels lie compiled in the cache never imports Numba. So what a file declares for
kernels is only noted when the file is imported; it becomes Numba's when something is compiled
(numba_compiler.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Noted:
    """What kernels call by `handle`: a helper to compile or, with `typing`, an intrinsic."""

    handle: Callable[..., Any]
    typing: Callable[..., Any] | None = None
    prefer_literal: bool = False


noted: list[Noted] = []


class Deferred:
    """A type of Numba, or a signature of types, that is made when something is compiled."""

    def __init__(self, make: Callable[[], Any], name: str = "") -> None:
        self._make, self._name = make, name

    def __call__(self, *args: Any) -> Deferred:
        """The signature that returns this type."""
        return Deferred(lambda: resolved(self)(*map(resolved, args)))

    def __str__(self) -> str:
        return self._name


def resolved(item: Any) -> Any:
    """What a deferred type or signature is for Numba; anything else stays."""
    if isinstance(item, Deferred):
        return item._make()
    if hasattr(item, "return_type") and hasattr(item, "args"):  # a signature of some deferred types
        return item.return_type(*map(resolved, item.args))
    return item


class _Types:
    """`numba.types`, deferred."""

    def __getattr__(self, name: str) -> Deferred:
        def real() -> Any:
            from numba import types

            return getattr(types, name)

        return Deferred(real, name)


types = _Types()


def intrinsic(
    function: Callable[..., Any] | None = None, *, prefer_literal: bool = False
) -> Callable[..., Any]:
    """Decorate `function(typing context, *types)`, which gives a signature and generates code.

    As numba.extending.intrinsic, but known to Numba only when something is compiled.
    """
    if function is None:
        return partial(intrinsic, prefer_literal=prefer_literal)

    @wraps(function)
    def handle(*args: Any) -> Any:
        raise NotImplementedError(f"{handle.__name__} is for kernels")

    @wraps(function)  # by whose arguments Numba checks calls
    def typing(*args: Any) -> Any:
        signature, codegen = function(*args)
        return resolved(signature), codegen

    noted.append(Noted(handle, typing, prefer_literal))
    return handle
