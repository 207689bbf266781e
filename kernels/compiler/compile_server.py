"""A process that compiles kernels for another one: see compile_processes.py."""

from __future__ import annotations

import gc
import json
import os
import sys
from importlib import import_module
from pathlib import Path

from halfbyte.kernels.compiler import jit, target


def serve() -> None:
    """Compile what standard input names, a line each, and answer with a line.

    Nothing where the sources are others than those of who asks, which has begun before an upgrade.
    """
    isa, folder, key = json.loads(sys.stdin.readline())
    target.force(isa)
    if jit.cache_key() != key:
        return
    jit.use_directory(Path(folder))
    gc.disable()  # a process that soon ends: looking through Numba's objects takes a tenth of it
    for line in sys.stdin:
        module, name, args = json.loads(line)
        found = getattr(import_module(module), name)
        (found if args is None else found(*args)).compile()
        try:
            os.write(sys.stdout.fileno(), b"\n")
        except BrokenPipeError:  # who asked was ended; what was compiled is in the cache
            return
