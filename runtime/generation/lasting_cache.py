"""A prefix cache with a folder beneath it: what falls out of the one goes on in the other."""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Sequence as Seq

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import EngineError
from halfbyte.generation.cache_folder import CacheFolder
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import PAGE_NBYTES, TOKEN_NBYTES, Branch, follow, packed

_NEARLY_FULL = 0.75  # of the memory's bound


class LastingCache:
    """The ways between memory and folder; the thread that owns the cache calls.

    A page is written or read in some milliseconds, at the disk's speed. States that cannot be cut
    back are not kept on disk: with them nothing here does anything.

    Args:
        cache: the memory, which leaves to the folder what it drops from now on.
        folder: of the same model.
    """

    def __init__(self, cache: PrefixCache, folder: CacheFolder) -> None:
        self._cache, self._folder = cache, folder
        self._is_idle = cache.has_snapshots
        if not self._is_idle:
            cache.on_drop = folder.write

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
        """Write the page that would fall out next, so that it costs nothing when it does.

        To be called while nobody waits, until it is False: then nothing is likely to fall out, or
        the disk refuses it.
        """
        if self._is_idle or self._cache.nbytes < _NEARLY_FULL * self._cache.max_nbytes:
            return False
        next_out = [
            node
            for node in self._cache.nodes()
            if not node.is_stored and all(child.is_stored for child in node.children.values())
        ]
        if not next_out:
            return False
        node = min(next_out, key=self._cache.value)
        self._folder.write(node)
        return node.is_stored

    def flush(self) -> None:
        """Have the folder hold all that is remembered, or the latest, as at a process's end."""
        if self._is_idle:
            return
        latest = sorted(self._cache.nodes(), key=lambda node: (-node.used_at, node.end))
        n_fit = self._folder.max_nbytes // self._cache.pool.layout.page_nbytes
        for node in reversed(latest[:n_fit]):  # those that others grew from come last
            self._folder.write(node)
