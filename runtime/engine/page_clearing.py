"""Has the system clear memory's pages before they are needed.

A page is cleared where it is first touched, at as little as a gigabyte a second on virtual
machines, and whoever packs weights would wait for that. A thread has it done ahead of them, while
the rest of a model is read: Linux's MADV_POPULATE_WRITE (5.14), which changes no byte. Elsewhere
this does nothing, and pages are cleared as they are touched.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

_POPULATE_WRITE = 23  # which Python's mmap does not name
_PIECE_NBYTES = 2 << 20  # within which nobody can be stopped
_MIN_NBYTES = 16 << 20  # less is cleared before a thread has begun


@contextmanager
def cleared_ahead(memory: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The same memory, whose pages a thread clears until the block is left; uint8 (n,)."""
    stop = threading.Event()
    thread = threading.Thread(
        target=_clear, args=(memory, stop), name="halfbyte-pages", daemon=True
    )
    if sys.platform == "linux" and memory.nbytes >= _MIN_NBYTES:
        try:
            thread.start()
        except RuntimeError:  # no more threads: packing touches the pages itself
            pass
    try:
        yield memory
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join()


def _clear(memory: NDArray[np.uint8], stop: threading.Event) -> None:
    """Piece after piece; ends where the system does not know how, or has no memory left."""
    madvise = ctypes.CDLL(None).madvise
    begin = -(-int(memory.ctypes.data) // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (int(memory.ctypes.data) + memory.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    for at in range(begin, end, _PIECE_NBYTES):
        nbytes = ctypes.c_size_t(min(_PIECE_NBYTES, end - at))
        if stop.is_set() or madvise(ctypes.c_void_p(at), nbytes, _POPULATE_WRITE) != 0:
            return
