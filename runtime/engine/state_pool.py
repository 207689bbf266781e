"""Blocks of the states of recurrent layers, and journals: the one place that makes them.

A step writes new blocks and lets go of the ones before, so that memory that was let go is taken
again: fresh memory costs a multiple of what a step writes (page_clearing.py). Which thread drops
the last reference to a block, and when, is nobody's choice: its memory then joins the free ones in
one step, without a lock and without a line of Python.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.memory import zeros
from halfbyte.engine.state_layout import StateLayout

_ALIGN = 64


class Block:
    """Bytes that never change once a step has written them.

    Attributes:
        data: uint8 (nbytes,), from an address that vectors can be loaded from.
        address: of its first byte.
    """

    __slots__ = ("__weakref__", "address", "data")

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.data, self.address = data, int(data.ctypes.data)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.data.nbytes


class _Memory(weakref.ref[Block]):
    """The memory of a block, which outlives it."""

    __slots__ = ("data",)
    data: NDArray[np.uint8]


class _Blocks:
    """Blocks of one size: those that are held, and memory of those that no longer are."""

    def __init__(self, what: str, nbytes: int) -> None:
        self._what, self._size = what, nbytes
        self._all: set[_Memory] = set()
        self._free: deque[_Memory] = deque()

    @property
    def nbytes(self) -> int:
        """Bytes of those that are held."""
        return max(len(self._all) - len(self._free), 0) * self._size

    def take(self) -> Block:
        """One, whatever it holds: zeros, or what another one did."""
        try:
            free = self._free.pop()
        except IndexError:
            fresh = zeros(self._what, self._size + _ALIGN, np.uint8)
            begin = -int(fresh.ctypes.data) % _ALIGN
            data = fresh[begin : begin + self._size]
        else:
            self._all.discard(free)
            data = free.data
        block = Block(data)
        memory = _Memory(block, self._free.append)
        memory.data = data
        self._all.add(memory)
        return block

    def trim(self, n: int) -> None:
        """Give memory back but for n free ones."""
        while len(self._free) > n:
            try:
                self._all.discard(self._free.popleft())
            except IndexError:
                return


class StatePool:
    """Makes blocks and journals of one layout.

    `check` gets the bytes that are wanted, and raises where they would be too many.
    """

    def __init__(self, layout: StateLayout, check: Callable[[int], None]) -> None:
        self.layout, self._check = layout, check
        self._by_size: dict[int, _Blocks] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of all that anybody holds."""
        return sum(blocks.nbytes for blocks in list(self._by_size.values()))

    def block(self) -> Block:
        """A block to write.

        Raises:
            OutOfPagesError: the bound is reached.
            EngineError: there is no memory for it.
        """
        return self._take("the states of recurrent layers", self.layout.nbytes)

    def journal(self, n_tokens: int) -> Block:
        """A journal of at least so many tokens; raises as `block` does."""
        n_tokens = 1 << (n_tokens - 1).bit_length()  # few sizes, so that memory is taken again
        return self._take("a journal of guesses", n_tokens * self.layout.token_nbytes)

    def trim(self, n: int) -> None:
        """Give free memory back but for n blocks of each size."""
        for blocks in list(self._by_size.values()):
            blocks.trim(n)

    def _take(self, what: str, nbytes: int) -> Block:
        self._check(nbytes)
        if nbytes not in self._by_size:
            self._by_size.setdefault(nbytes, _Blocks(what, nbytes))
        return self._by_size[nbytes].take()
