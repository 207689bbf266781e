"""Pages of KV cache, and how many of them are held: the one place that makes them.

Blocks of recurrent layers' states (state_pool.py) count as pages do, against one bound.

A page lives as long as somebody holds it: sequences, forks of them, remembered prompts. Which
thread drops the last reference, and when, is nobody's choice, so the count takes no lock: it is
the size of a set of weak references, which they leave in one step.
"""

from __future__ import annotations

import weakref

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.memory import zeros
from halfbyte.engine.state_layout import StateLayout
from halfbyte.engine.state_pool import StatePool
from halfbyte.errors import OutOfPagesError
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout

_ALIGN = 64


class Page:
    """A block of PAGE positions of some layers, zeroed: the kernels count on finite numbers.

    Attributes:
        data: its bytes, uint8 (nbytes,), from an address that vectors can be loaded from.
        address: of its first byte.
        n_shared: its first positions that others have come to hold too, for good: whoever goes on
            with it writes behind these only.
    """

    __slots__ = ("__weakref__", "address", "data", "n_shared")

    def __init__(self, nbytes: int) -> None:
        memory = zeros(f"{PAGE} positions of KV cache", nbytes + _ALIGN, np.uint8)
        begin = -int(memory.ctypes.data) % _ALIGN
        self.data: NDArray[np.uint8] = memory[begin : begin + nbytes]
        self.address = int(self.data.ctypes.data)
        self.n_shared = 0


class PagePool:
    """Makes pages of one layout, as long as those that are held stay within a bound.

    Attributes:
        max_nbytes: the bound, which may change at any time; None for none. Where several threads
            take pages at once, each may exceed it by one.
        states: makes blocks of states; None where no layer is recurrent.
    """

    def __init__(
        self, layout: KVLayout, max_nbytes: int | None = None, states: StateLayout | None = None
    ) -> None:
        self.layout = layout
        self.max_nbytes = max_nbytes
        self.states = None if states is None else StatePool(states, self._check_room)
        self._held: tuple[set[weakref.ref[Page]], ...] = tuple(set() for _ in layout.blocks)

    @property
    def nbytes(self) -> int:
        """Bytes of all pages, and of all states, that anybody holds."""
        each = zip(self._held, self.layout.blocks, strict=True)
        pages = sum(len(held) * block.page_nbytes for held, block in each)
        return pages if self.states is None else pages + self.states.nbytes

    def take(self, block: int = 0) -> Page:
        """A page's block of zeros, by its number among the layout's.

        Raises:
            OutOfPagesError: the bound is reached.
            EngineError: there is no memory for it.
        """
        nbytes, held = self.layout.blocks[block].page_nbytes, self._held[block]
        self._check_room(nbytes)
        page = Page(nbytes)
        held.add(weakref.ref(page, held.discard))  # no line of Python at its death
        return page

    def copy(self, page: Page, n_positions: int, block: int = 0) -> Page:
        """A block with the same first positions; raises as `take` does."""
        other = self.take(block)
        begin = 0
        for run in self.layout.blocks[block].runs:
            end = begin + run.page_nbytes
            source, target = (p.data[begin:end].reshape(-1, run.head_nbytes) for p in (page, other))
            for part in run.first_positions(n_positions):
                target[:, part] = source[:, part]
            begin = end
        return other

    def _check_room(self, nbytes: int) -> None:
        """OutOfPagesError where so many bytes more would exceed the bound."""
        if self.max_nbytes is not None and self.nbytes + nbytes > self.max_nbytes:
            raise OutOfPagesError(
                self.nbytes, self.max_nbytes, nbytes,
                hint="raise the bound, or use a shorter context or fewer sequences",
            )  # fmt: skip
