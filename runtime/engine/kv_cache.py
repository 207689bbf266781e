"""The keys and values of one sequence: a list of pages (kernels/layouts/kv_pages.py).

Pages are taken as the sequence grows, so a long context costs memory only where it is used.
Forks share full pages, which never change; a page is freed with the last sequence that holds it.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from itertools import groupby

import numpy as np

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
    is_coded,
)
from halfbyte.process_bound import ProcessBound


def check_kv_type(kv_type: str) -> None:
    """RequestError unless keys and values can be stored so."""
    if not isinstance(kv_type, str) or kv_type not in KV_TYPES:
        raise RequestError("kv_type", expected=f"one of {', '.join(KV_TYPES)}", got=repr(kv_type))


def kv_layout(config: ModelConfig, kv_type: str) -> KVLayout:
    """The cache layout of a model.

    Raises:
        RequestError: its heads cannot be stored so.
    """
    if config.latent and is_coded(kv_type):
        expected = '"f16" or "f32": compressed keys (MLA) are kept as floats'
        raise RequestError("kv_type", expected=expected, got=repr(kv_type))
    if config.sizes is None:
        _check_head_dim(config.head_dim, kv_type)
        latent = config.latent.kv_lora_rank if config.latent else 0
        return KVLayout(config.n_kv_layers, config.n_kv_heads, config.head_dim, kv_type, latent)
    own = filter(config.has_kv, range(config.n_layers))
    heads = groupby((config.kv_heads_of(i), config.head_dim_of(i)) for i in own)
    parts = tuple(KVLayout(len(list(alike)), n, d, kv_type) for (n, d), alike in heads)
    for part in parts:
        _check_head_dim(part.head_dim, kv_type)
    return MixedLayout.of(parts)


def _check_head_dim(d: int, kv_type: str) -> None:
    if is_coded(kv_type) and (d % MIN_CODED_DIM or d > MAX_CODED_DIM):
        expected = (
            f'"f16" or "f32" for heads of {d}: "{kv_type}" takes multiples of {MIN_CODED_DIM} '
            f"up to {MAX_CODED_DIM}"
        )
        raise RequestError("kv_type", expected=expected, got=repr(kv_type))


class KVCache(ProcessBound):
    """The keys and values of one sequence's positions in all layers."""

    can_truncate = True
    first_cut = 0

    def __init__(self, pool: PagePool) -> None:
        self.layout, self._pool = pool.layout, pool
        self._pages: list[Page] = []
        self._addresses = np.zeros(8, np.int64)

    @classmethod
    def of_pages(cls, pool: PagePool, pages: Seq[Page], n_positions: int) -> KVCache:
        """The first positions of pages of others: full pages are shared, a begun one is copied.

        Raises:
            EngineError: there is no memory for the copy.
        """
        other = cls(pool)
        n_full, rest = divmod(n_positions, PAGE)
        for page in pages[:n_full]:
            page.n_shared = PAGE
            other._append(page)
        if rest:
            other._append(pool.copy(pages[n_full], rest))
        return other

    @property
    def pages(self) -> Seq[Page]:
        """The pages held, in order."""
        return self._pages

    @property
    def page_addresses(self) -> int:
        """Address of the array of page addresses, valid until the next change."""
        return int(self._addresses.ctypes.data)

    @property
    def nbytes(self) -> int:
        """Bytes of the pages held."""
        return len(self._pages) * self.layout.page_nbytes

    def reserve(self, n_positions: int, n_guessed: int = 0) -> None:
        """Hold pages for positions 0 .. n_positions - 1.

        Raises:
            EngineError: there is no memory for them.
        """
        while len(self._pages) * PAGE < n_positions:
            self._append(self._pool.take())

    def advanced(self, n_new: int) -> KVCache:
        """Itself: positions that a step has filled in are there."""
        return self

    def cut(self, n_positions: int) -> KVCache:
        """The first positions without what was reserved, for whoever drops this one.

        Raises:
            EngineError: there is no memory for a copy of a page, of which another sequence holds
                more of the positions.
        """
        n_full, rest = divmod(n_positions, PAGE)
        other = KVCache(self._pool)
        for page in self._pages[:n_full]:
            other._append(page)
        if rest:
            # What follows will be written into this page, of which others may hold more.
            begun = self._pages[n_full]
            other._append(self._pool.copy(begun, rest) if rest < begun.n_shared else begun)
        return other

    def fork(self, n_positions: int) -> KVCache:
        """The same first positions; full pages are shared, a begun one is copied."""
        return KVCache.of_pages(self._pool, self._pages, n_positions)

    def _append(self, page: Page) -> None:
        # An address counts once its page does.
        if len(self._pages) == len(self._addresses):
            self._addresses = np.concatenate([self._addresses, np.zeros_like(self._addresses)])
        self._addresses[len(self._pages)] = page.address
        self._pages.append(page)
