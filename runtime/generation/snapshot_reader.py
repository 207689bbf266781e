"""Bringing from a cache folder what a prompt can go on from, where states cannot be cut back.

Pages alone are of no use then. So the last snapshot is looked for first; then come the pages before
it that are not in memory, and at last the snapshot.
"""

from __future__ import annotations

from collections.abc import Hashable

from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.errors import EngineError
from halfbyte.generation.cache_folder import CacheFolder
from halfbyte.generation.page_reader import read_page
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import (
    PAGE_NBYTES,
    TOKEN_NBYTES,
    Branch,
    Node,
    child_digest,
    follow,
)
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class _Place:
    """A snapshot in the folder.

    Attributes:
        begin, end: of the first position of its page, and its own.
        parent: the digest of the tokens before its page.
        name: of its file.
    """

    begin: int
    end: int
    parent: bytes
    name: str


class SnapshotReader:
    """Reads for one prompt after another; the thread that owns the cache calls.

    Args:
        cache: where it goes.
        folder: where it comes from.
    """

    def __init__(self, cache: PrefixCache, folder: CacheFolder) -> None:
        self._cache, self._folder = cache, folder
        self._asked: tuple[bytes, Hashable] | None = None
        self._places: list[_Place] = []  # that are left to be tried, the last one first

    def load_next(self, data: bytes, adapter: Hashable, n_known: int) -> bool:
        """Bring one thing more; False where there is no more, or no room for it.

        Args:
            data: a prompt's tokens that may be remembered.
            adapter: what they go through.
            n_known: how many of them are known.
        """
        if self._asked != (data, adapter):
            self._asked, self._places = (data, adapter), self._find(data, adapter, n_known)
        while self._places and self._places[-1].end > n_known:
            if self._bring(self._places[-1], data, adapter):
                return True
            self._places.pop()
        self._asked = None
        return False

    def _find(self, data: bytes, adapter: Hashable, n_known: int) -> list[_Place]:
        """All snapshots on the prompt's path behind what is known, in their order."""
        digest, found = self._cache.root(adapter).digest, list[_Place]()
        for at in range(0, len(data), PAGE_NBYTES):
            rest, begin = data[at : at + PAGE_NBYTES], at // TOKEN_NBYTES
            if begin + PAGE > n_known:
                places = self._folder.find_snapshots(digest, rest)
                found += sorted(
                    (_Place(begin, begin + n, digest, name) for n, name in places),
                    key=lambda place: place.end,
                )
            digest = digest and child_digest(digest, rest)
        return found

    def _bring(self, place: _Place, data: bytes, adapter: Hashable) -> bool:
        """The next page before a snapshot, or that; False where it is not to be had."""
        root = self._cache.root(adapter)
        path = follow(root, data[: place.begin * TOKEN_NBYTES])
        branch: Branch = path[-1] if path else root
        rest = data[branch.end * TOKEN_NBYTES :][:PAGE_NBYTES]
        if branch.end < place.begin:
            exact = self._folder.find_exact(branch, rest)
            return read_page(self._cache, self._folder, branch, exact) is not None
        n = place.end - place.begin
        near, n_agreed = branch.nearest(rest[: n * TOKEN_NBYTES])
        if near is None or n_agreed < n:
            found = self._folder.find(branch, rest, n - 1)
            return read_page(self._cache, self._folder, branch, found) is not None
        return self._read(place, near)

    def _read(self, place: _Place, node: Node) -> bool:
        pool = self._cache.pool
        assert pool.states is not None
        try:
            block = pool.states.block()
        except EngineError:
            return False
        if not self._folder.read_snapshot(place.name, place.parent, block.data, place.end):
            return False
        self._places = []  # there is no better one
        self._cache.insert_snapshot(node, place.end, RecurrentState(pool, place.end, block))
        return True
