"""Imports that are done when they are needed, and that a fork in another thread waits for.

A child that is forked while another thread imports has half a module, or waits for that thread for
ever. Loads nothing itself, since `import halfbyte` takes it along.
"""

from __future__ import annotations

import os
from _thread import RLock

TYPE_CHECKING = False  # to checkers it is true, as typing's, which takes longer to import than this
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

importing = RLock()
_forks_wait = False


def let_forks_wait() -> None:
    """From the first call on, a fork waits for who holds `importing`.

    What is registered last is locked first: before logging's, which imports wait for.
    """
    global _forks_wait
    if _forks_wait or not hasattr(os, "register_at_fork"):
        return
    import logging  # noqa: F401

    _forks_wait = True
    os.register_at_fork(
        before=importing.acquire,
        after_in_parent=importing.release,
        after_in_child=importing.release,
    )


class Later:
    """A module that is imported when something in it is first asked for."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(imported(self._module), name)


def imported(module: str) -> ModuleType:
    """The module of that name."""
    with importing:
        from importlib import import_module

        return import_module(module)
