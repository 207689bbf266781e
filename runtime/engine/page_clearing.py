"""Has the system clear memory's pages before they are needed.

A page is cleared where it is first touched, at as little as a gigabyte a second on virtual
machines, and whoever packs weights would wait for that. A thread has it done ahead of them, while
the rest of a model is read: Linux's MADV_POPULATE_WRITE (5.14), which changes no byte. Elsewhere
this does nothing, and pages are cleared as they are touched.

A command knows its model before it has imported what loads it. `begun_for` then has memory cleared
that `weights_room` finds.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_POPULATE_WRITE = 23  # which Python's mmap does not name
# Within which nobody can be stopped, but between which Python's turn has to be waited for: the more
# of them, the longer, while another thread imports.
_PIECE_NBYTES = 32 << 20
_MIN_NBYTES = 16 << 20  # less is cleared before a thread has begun
_SPARED_NBYTES = 1 << 30  # of memory, for all that is no weight


class _Clearing:
    """A thread that clears pages from an address on, until it is done or stopped.

    It ends where the system does not know how, or has no memory left. Where there are no more
    threads, or another system, nothing is cleared.
    """

    def __init__(self, address: int, nbytes: int) -> None:
        self.n_cleared, self._stop = 0, threading.Event()
        begin = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (address + nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        self._thread = threading.Thread(
            target=_clear, args=(self, begin, end, self._stop), name="halfbyte-pages", daemon=True
        )
        if sys.platform == "linux" and nbytes >= _MIN_NBYTES:
            try:
                self._thread.start()
            except RuntimeError:  # no more threads: packing touches the pages itself
                pass

    def stop(self) -> None:
        """Returns when the thread has ended."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()


def _clear(clearing: _Clearing, begin: int, end: int, stop: threading.Event) -> None:
    """Piece after piece."""
    madvise = ctypes.CDLL(None).madvise
    for at in range(begin, end, _PIECE_NBYTES):
        nbytes = ctypes.c_size_t(min(_PIECE_NBYTES, end - at))
        if stop.is_set() or madvise(ctypes.c_void_p(at), nbytes, _POPULATE_WRITE) != 0:
            return
        clearing.n_cleared += nbytes.value


@contextmanager
def cleared_ahead(memory: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The same memory, whose pages a thread clears until the block is left; uint8 (n,)."""
    clearing = _Clearing(int(memory.ctypes.data), memory.nbytes)
    try:
        yield memory
    finally:
        clearing.stop()


class _Begun:
    """Memory that is cleared before anybody has asked for it."""

    def __init__(self, nbytes: int) -> None:
        self.memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.memory.madvise(mmap.MADV_HUGEPAGE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.clearing = _Clearing(address, nbytes)

    def taken(self, nbytes: int) -> mmap.mmap:
        """The memory, made so long; OSError where there is none."""
        self.clearing.stop()
        self.memory.resize(-(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE)
        return self.memory


_begun: list[_Begun] = []  # what nobody has taken yet


@contextmanager
def begun_for(path: str, available: int | None) -> Iterator[None]:
    """Have memory cleared for a model's weights, if the path is a GGUF file's that fits it.

    Weights take about what their file holds. `available` are the bytes that this process may still
    take. What nobody has taken when the block is left is given back.
    """
    nbytes = _nbytes_of(path)
    begun = []
    if nbytes >= _MIN_NBYTES and available is not None and nbytes + _SPARED_NBYTES <= available:
        try:
            begun.append(_Begun(nbytes))
        except OSError:  # it will be said when the weights find none
            pass
    _begun.extend(begun)
    try:
        yield
    finally:
        for one in begun:
            if one in _begun:
                _begun.remove(one)
                one.clearing.stop()


def begun_nbytes() -> int:
    """Bytes that this process has taken already, and that weights will not take again."""
    return sum(one.clearing.n_cleared for one in _begun)


def begun_memory(nbytes: int) -> mmap.mmap | None:
    """So much memory that was begun with, if there is any; it is the caller's now."""
    try:
        return _begun.pop().taken(nbytes)
    except (IndexError, OSError):
        return None


def _nbytes_of(path: str) -> int:
    """Of a GGUF file; 0 where it is none, or where the system clears nothing ahead."""
    if sys.platform != "linux" or not path.endswith(".gguf"):
        return 0
    try:
        return os.stat(path).st_size if os.path.isfile(path) else 0
    except (OSError, ValueError):
        return 0
