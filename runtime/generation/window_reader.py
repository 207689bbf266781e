"""Bringing from a cache folder what a prompt can go on from, where layers have windows.

Pages come first, without the blocks of these layers. Then come the blocks that are needed behind
the furthest page of which the folder has them all.
"""

from __future__ import annotations

from collections.abc import Hashable

from halfbyte.engine.kv_cache import WINDOWED
from halfbyte.engine.page_pool import Page
from halfbyte.errors import EngineError
from halfbyte.generation import windows
from halfbyte.generation.cache_folder import CacheFolder
from halfbyte.generation.page_reader import find_page, read_page
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import (
    PAGE_NBYTES,
    TOKEN_NBYTES,
    Branch,
    Node,
    follow,
)
from halfbyte.kernels.layouts.kv_pages import WindowedLayout


class WindowReader:
    """Reads for one prompt after another; the thread that owns the cache calls.

    Args:
        cache: where it goes.
        folder: where it comes from.
        layout: of the pages.
    """

    def __init__(self, cache: PrefixCache, folder: CacheFolder, layout: WindowedLayout) -> None:
        self._cache, self._folder, self._layout = cache, folder, layout
        self._asked: tuple[bytes, Hashable] | None = None
        self._has_pages = False  # of what is asked: there are no more, or there is no room

    def load_next(self, data: bytes, adapter: Hashable, n_known: int) -> bool:
        """Bring one page or block more; False where there is no more, or no room for it.

        Args:
            data: a prompt's tokens that may be remembered.
            adapter: what they go through.
            n_known: how many of them are known.
        """
        if self._asked != (data, adapter):
            self._asked, self._has_pages = (data, adapter), False
        if not self._has_pages:  # once blocks come, pages that give way to them stay away
            branch, _ = self._known(data, adapter)
            if read_page(self._cache, self._folder, branch, find_page(self._folder, branch, data)):
                return True
            self._has_pages = True
        if self._load_block(data, adapter, n_known):
            return True
        self._asked = None
        self._cache.want_no_more()
        return False

    def _load_block(self, data: bytes, adapter: Hashable, n_known: int) -> bool:
        _, places = self._known(data, adapter)
        for place, end in reversed(places):
            if end <= n_known:
                break
            missing = [n for n in windows.seen(place, end, self._layout) if n.window is None]
            if not missing:
                break
            window = self._read(missing[-1]) if all(map(self._folder.has_window, missing)) else None
            if window is not None:
                self._cache.insert_window(missing[-1], window, place, end, is_likely=True)
                return missing[-1].window is window  # or there is no room, and others went for it
        return False

    def _known(self, data: bytes, adapter: Hashable) -> tuple[Branch, list[tuple[Node, int]]]:
        """The end of a prompt's full pages in memory, and where it could go on: behind each page,
        and within the last one.
        """
        root = self._cache.root(adapter)
        path = follow(root, data)
        branch: Branch = path[-1] if path else root
        places = [(node, node.end) for node in path]
        near, n = branch.nearest(data[branch.end * TOKEN_NBYTES :][:PAGE_NBYTES])
        return branch, places if near is None else [*places, (near, branch.end + n)]

    def _read(self, node: Node) -> Page | None:
        """A node's block; None where it is not to be had."""
        try:
            window = self._cache.pool.take(WINDOWED)
        except EngineError:
            return None
        return window if self._folder.read_window(node, window.data) else None
