"""The keys and values of one sequence: a list of pages (kernels/layouts/kv_pages.py).

Pages are taken as the sequence grows, so a long context costs memory only where it is used.
Forks share full pages, which never change; a page is freed with the last sequence that holds it.

Of layers with a window the last pages alone are kept, those that a query still sees and some before
them, so that what was guessed can be cut back. So such a sequence cannot be cut back to anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from itertools import groupby

import numpy as np

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.page_pool import Page, PagePool
from halfbyte.errors import RequestError
from halfbyte.families.config import ModelConfig
from halfbyte.kernels.layouts.kv_pages import (
    KV_TYPES,
    MAX_CODED_DIM,
    MIN_CODED_DIM,
    PAGE,
    KVLayout,
    MixedLayout,
    WindowedLayout,
    is_coded,
)
from halfbyte.process_bound import ProcessBound

# Positions that a sequence remembers before those that it sees, at least: for guesses, and for a
# prompt's steps of which what they made was not looked at yet (generation/prompt_memory.py).
_SLACK, _LEAST_KEPT = PAGE, 2 * MAX_BATCH + PAGE
WINDOWED = 1  # the number of the block of layers with a window, where there are two


def check_kv_type(kv_type: str) -> None:
    """RequestError unless keys and values can be stored so."""
    if not isinstance(kv_type, str) or kv_type not in KV_TYPES:
        raise RequestError("kv_type", expected=f"one of {', '.join(KV_TYPES)}", got=repr(kv_type))


def kv_layout(config: ModelConfig, kv_type: str, n_ctx: int) -> KVLayout:
    """The cache layout of a model whose sequences have n_ctx positions at most.

    Where some layers have a window that is shorter, and none is recurrent, it is a WindowedLayout.
    Recurrent layers' snapshots say where a sequence can be gone on from, and hold no pages.

    Raises:
        RequestError: its heads cannot be stored so.
    """
    if config.latent:
        if is_coded(kv_type):
            expected = '"f16" or "f32": compressed keys (MLA) are kept as floats'
            raise RequestError("kv_type", expected=expected, got=repr(kv_type))
        latent = config.latent.kv_lora_rank
        return KVLayout(config.n_kv_layers, config.n_kv_heads, config.head_dim, kv_type, latent)
    own = [i for i in range(config.n_layers) if config.has_kv(i)]
    slides = tuple(0 < config.window(i) < n_ctx for i in own)
    if not any(slides) or config.recurrent is not None:
        return _block(config, kv_type, own)
    whole, windowed = (
        _block(config, kv_type, [i for i, has in zip(own, slides, strict=True) if has == wanted])
        for wanted in (False, True)
    )
    slide = [i for i, has in zip(own, slides, strict=True) if has]
    window, n_sinks = max(map(config.window, slide)), max(map(config.sinks_of, slide))
    kept = max(window + _SLACK, _LEAST_KEPT)
    most = -(-(kept + MAX_BATCH) // PAGE) * PAGE + PAGE * (1 + (n_sinks > 0))
    return WindowedLayout.of(
        whole, windowed, slides, window=window, kept=kept, most=most, n_sinks=n_sinks
    )


def _block(config: ModelConfig, kv_type: str, layers: Seq[int]) -> KVLayout:
    """A block of the keys and values of some layers, of which there may be none."""
    heads = groupby((config.kv_heads_of(i), config.head_dim_of(i)) for i in layers)
    parts = tuple(KVLayout(len(list(alike)), n, d, kv_type) for (n, d), alike in heads)
    for part in parts:
        _check_head_dim(part.head_dim, kv_type)
    if not parts:
        return KVLayout(0, config.n_kv_heads, config.head_dim, kv_type)
    return parts[0] if len(parts) == 1 else MixedLayout.of(parts)


def _check_head_dim(d: int, kv_type: str) -> None:
    if is_coded(kv_type) and (d % MIN_CODED_DIM or d > MAX_CODED_DIM):
        expected = (
            f'"f16" or "f32" for heads of {d}: "{kv_type}" takes multiples of {MIN_CODED_DIM} '
            f"up to {MAX_CODED_DIM}"
        )
        raise RequestError("kv_type", expected=expected, got=repr(kv_type))


class _Blocks:
    """What pages of a sequence have in one of their blocks, in order.

    Attributes:
        pages: those held; None are those that were let go.
        n_stay: how many of the first ones are never let go.
        n_gone: before which page others were let go; 0: none was.
        addresses: of the pages; 0 of those that were let go.
    """

    def __init__(self, n_stay: int) -> None:
        self.pages: list[Page | None] = []
        self.n_stay, self.n_gone = n_stay, 0
        self.addresses = np.zeros(8, np.int64)

    def append(self, page: Page | None) -> None:
        """Have one more; None, before all others that do not stay, was let go."""
        # An address counts once its page does.
        n = len(self.pages)
        if n == len(self.addresses):
            self.addresses = np.concatenate([self.addresses, np.zeros_like(self.addresses)])
        self.addresses[n] = 0 if page is None else page.address
        self.pages.append(page)
        if page is None:
            self.n_gone = n + 1

    @property
    def n_held(self) -> int:
        """How many are held."""
        return len(self.pages) - max(self.n_gone - self.n_stay, 0)

    def let_go(self, n: int) -> None:
        """Hold those before the n-th no more, but for those that stay."""
        begin = max(self.n_gone, self.n_stay)
        if n <= begin:
            return
        self.n_gone = n
        self.addresses[begin:n] = 0
        for i in range(begin, n):
            self.pages[i] = None


class KVCache(ProcessBound):
    """The keys and values of one sequence's positions in all layers."""

    def __init__(self, pool: PagePool) -> None:
        self.layout, self._pool = pool.layout, pool
        n_stay = self.layout.n_stay if isinstance(self.layout, WindowedLayout) else 0
        self._blocks = [_Blocks(n_stay) for _ in self.layout.blocks]

    @classmethod
    def of_pages(
        cls, pool: PagePool, pages: Seq[Page], windowed: Seq[Page | None], n_positions: int
    ) -> KVCache:
        """The first positions of pages of others: full pages are shared, a begun one is copied.

        Args:
            pool: where the copy comes from.
            pages: as `pages` has them.
            windowed: the same pages, as `windowed` has them. Where some are missing, those before
                them are left out, but for those that stay; what the next position sees is there.
            n_positions: how many.

        Raises:
            EngineError: there is no memory for the copy.
        """
        other = cls(pool)
        for block, given in enumerate((pages, windowed)[: len(other._blocks)]):
            other._take(block, given, n_positions, is_shared=True)
        return other

    @property
    def pages(self) -> Seq[Page]:
        """The pages held, in order: the block of layers that see all before them."""
        return [page for page in self._blocks[0].pages if page is not None]

    @property
    def windowed(self) -> Seq[Page | None]:
        """Their other block; None where it was let go. Empty where pages have one."""
        return self._blocks[WINDOWED].pages if len(self._blocks) > 1 else ()

    @property
    def tables(self) -> tuple[int, int]:
        """Addresses of the arrays of both blocks' addresses, valid until the next change.

        The second is 0 where pages have one block.
        """
        first = int(self._blocks[0].addresses.ctypes.data)
        return first, int(self._blocks[WINDOWED].addresses.ctypes.data) if self.windowed else 0

    @property
    def first_cut(self) -> int:
        """The earliest position that it can be cut back to, beside the beginning."""
        n_gone = self._blocks[-1].n_gone
        if not n_gone or not isinstance(self.layout, WindowedLayout):
            return 0
        return n_gone * PAGE + self.layout.window - 1

    @property
    def nbytes(self) -> int:
        """Bytes of the pages held."""
        each = zip(self._blocks, self.layout.blocks, strict=True)
        return sum(own.n_held * block.page_nbytes for own, block in each)

    def let_go(self, n_past: int) -> None:
        """Hold no more than what a sequence of so many positions keeps."""
        if isinstance(self.layout, WindowedLayout):
            self._blocks[WINDOWED].let_go(self.layout.first_kept(n_past))

    def reserve(self, n_positions: int, n_guessed: int = 0) -> None:
        """Hold pages for positions 0 .. n_positions - 1, but for those that were let go.

        Raises:
            EngineError: there is no memory for them.
        """
        for block, own in enumerate(self._blocks):
            while len(own.pages) * PAGE < n_positions:
                own.append(self._pool.take(block))

    def advanced(self, n_new: int) -> KVCache:
        """Itself: positions that a step has filled in are there."""
        return self

    def cut(self, n_positions: int) -> KVCache:
        """The first positions, from first_cut on, without what was reserved, for whoever drops
        this one.

        Raises:
            EngineError: there is no memory for a copy of a page, of which another sequence holds
                more of the positions.
        """
        other = KVCache(self._pool)
        for block, own in enumerate(self._blocks):
            other._take(block, own.pages, n_positions, is_shared=False)
        return other

    def fork(self, n_positions: int) -> KVCache:
        """The same first positions; full pages are shared, a begun one is copied."""
        return KVCache.of_pages(self._pool, self.pages, self.windowed, n_positions)

    def _take(self, block: int, given: Seq[Page | None], n: int, *, is_shared: bool) -> None:
        """Have the first n positions of a block's pages."""
        own, (n_full, rest) = self._blocks[block], divmod(n, PAGE)
        held = given[: n_full + (rest > 0)]
        n_gone = 0
        if None in held:
            n_gone = 1 + max(i for i, page in enumerate(held) if page is None)
        if n_gone > n_full:
            raise ValueError(f"{n} positions whose last page was let go")
        for i, page in enumerate(held):
            if page is None or own.n_stay <= i < n_gone:
                own.append(None)
            elif i < n_full:
                page.n_shared = PAGE if is_shared else page.n_shared
                own.append(page)
            else:
                # What follows will be written into this page, of which others may hold more.
                is_copied = is_shared or rest < page.n_shared
                own.append(self._pool.copy(page, rest, block) if is_copied else page)
