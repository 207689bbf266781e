"""Locks that a fork waits for: of what its child would have half of, and nobody goes on with.

A child has the forking thread alone. A lock that another one held is never released there, and
what that had begun stays as it was. So a fork first takes these locks, in the one order in which
all take them who hold several.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, suppress
from typing import Any

# Numba's own lock, jit.py's, `importing`, and that of LLVM's library.
COMPILER, KERNELS, IMPORTS, LLVM = range(4)

importing = threading.RLock()  # whose holder imports Numba or LLVM's library, which takes long

_locks: dict[int, AbstractContextManager[Any]] = {}
_held = threading.local()


def let_forks_wait(place: int, lock: AbstractContextManager[Any]) -> None:
    """From here on, a fork takes a reentrant lock.

    COMPILER's and LLVM's come when modules are imported, by who holds IMPORTS or KERNELS.
    """
    _locks[place] = lock


def _before() -> None:
    _held.locks = held = list[AbstractContextManager[Any]]()
    while len(held) < len(_locks):  # another one came while these were waited for
        _after()
        for _, lock in sorted(_locks.items()):
            held.append(lock)  # first: an interrupt may end the waiting
            lock.__enter__()


def _after() -> None:
    held = getattr(_held, "locks", [])
    while held:
        with suppress(RuntimeError):  # it was not got
            held.pop().__exit__(None, None, None)


let_forks_wait(IMPORTS, importing)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
