"""A prefix cache with a folder beneath it: what falls out of the one goes on in the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable
from collections.abc import Sequence as Seq
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import EngineError
from halfbyte.generation.cache_folder import CacheFolder
from halfbyte.generation.page_writer import LeavingPage, PageWriter, seconds_until
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import PAGE_NBYTES, TOKEN_NBYTES, Branch, Node, follow, packed

log = logging.getLogger(__name__)

_NEARLY_FULL = 0.75  # of the memory's bound
_WAITING_NBYTES = 128 << 20  # of pages that are to be written
_FORGETTING_S = 1.0  # for the page that is written when its memory is needed


class LastingCache:
    """The ways between memory and folder; the thread that owns the cache calls.

    A page is read in some milliseconds, at the disk's speed, and written by another thread. States
    that cannot be cut back are not kept on disk: with them nothing here does anything.

    Args:
        cache: the memory, which leaves to the folder what it drops from now on.
        folder: of the same model.
    """

    def __init__(self, cache: PrefixCache, folder: CacheFolder) -> None:
        self._cache, self._folder = cache, folder
        n_most = max(_WAITING_NBYTES // cache.pool.layout.page_nbytes, 2)
        self._writer, self._n_ahead = PageWriter(folder.write, n_most), n_most // 2
        self._is_idle = cache.has_snapshots
        if not self._is_idle:
            cache.on_drop = self._keep

    def load_next(self, tokens: Seq[int] | NDArray[np.int32], adapter: Hashable = None) -> bool:
        """Bring one page more of a prompt from the folder into memory.

        To be called before `match` until it is False: then there is no more, or no room for it.
        Between the calls others may go on with their work.
        """
        if self._is_idle:
            return False
        data = packed(tokens)[:-TOKEN_NBYTES]
        root = self._cache.root(adapter)
        path = follow(root, data)
        branch: Branch = path[-1] if path else root
        rest = data[branch.end * TOKEN_NBYTES :][:PAGE_NBYTES]
        n_known = branch.nearest(rest)[1]
        if n_known * TOKEN_NBYTES == len(rest):
            return False
        found = self._folder.find(branch, rest, n_known)
        if found is None:
            return False
        try:
            page = self._cache.pool.take()
        except EngineError:
            return False
        own = self._folder.read(found, branch, page)
        if own is None:
            return False
        node = self._cache.insert_stored(branch, own, page)
        return branch.children.get(node.tokens) is node

    def write_ahead(self) -> bool:
        """Have the pages written that would fall out next, so that it costs nothing when they do.

        To be called now and then while nobody waits, until it is False: then nothing is likely to
        fall out, or the disk refuses it.
        """
        if self._is_idle or self._cache.nbytes < _NEARLY_FULL * self._cache.max_nbytes:
            return False
        next_out = [node for node in self._cache.nodes() if self._is_next(node)]
        for node in nsmallest(self._n_ahead - len(self._writer), next_out, self._cache.value):
            self._keep(node)
        return not self._folder.is_paused and bool(next_out or len(self._writer))

    def give_memory(self) -> bool:
        """Free what waits to be written, which is lost with it; whether there was any."""
        return self._writer.forget(_FORGETTING_S)

    def wait(self, timeout: float) -> bool:
        """Wait until all that is to be written is; False where it is not by then."""
        return self._writer.wait(timeout)

    def flush(self, timeout: float) -> None:
        """Have the folder hold all that is remembered, or the latest, as at a process's end.

        What a slow disk has not taken by then is a warning.
        """
        if self._is_idle:
            return
        end_s = time.monotonic() + timeout
        latest = sorted(self._cache.nodes(), key=lambda node: (-node.used_at, node.end))
        n_fit = self._folder.max_nbytes // self._cache.pool.layout.page_nbytes
        is_done = all(
            time.monotonic() < end_s and self._keep(node, seconds_until(end_s))
            for node in latest[:n_fit]
        )
        if not (self._writer.wait(seconds_until(end_s)) and is_done):
            text = "the disk is slow: not all remembered prompts are kept, after %.0f seconds"
            log.warning(text, timeout)

    def _keep(self, node: Node, timeout: float = 0.0) -> bool:
        """Have a page written; False where too many wait for that, which is then not kept."""
        if not node.digest or self._folder.is_paused:
            return True
        return self._writer.offer(LeavingPage.of(node), timeout)

    def _is_next(self, node: Node) -> bool:
        """Whether it is to be written, and what grows from it is, or will be."""
        if node.is_stored or node in self._writer or not node.digest:
            return False
        return all(child.is_stored or child in self._writer for child in node.children.values())
