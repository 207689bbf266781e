"""A prefix cache with a folder beneath it: what falls out of the one goes on in the other."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Hashable, Iterator
from collections.abc import Sequence as Seq
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.binding import Binding
from halfbyte.generation import snapshots, windows
from halfbyte.generation.cache_folder import CacheFolder
from halfbyte.generation.leaving import Leaving, LeavingPage, LeavingSnapshot, LeavingWindow
from halfbyte.generation.page_reader import find_page, read_page
from halfbyte.generation.page_writer import PageWriter, seconds_until
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import TOKEN_NBYTES, Branch, Node, follow, packed
from halfbyte.generation.snapshot_reader import SnapshotReader
from halfbyte.generation.window_reader import WindowReader

log = logging.getLogger(__name__)

_NEARLY_FULL = 0.75  # of the memory's bound
_WAITING_NBYTES = 128 << 20  # of what is to be written
_FORGETTING_S = 1.0  # for what is written when its memory is needed


class LastingCache:
    """The ways between memory and folder; the thread that owns the cache calls.

    A page is read in some milliseconds, at the disk's speed, and written by another thread.

    Args:
        cache: the memory, which leaves to the folder what it drops from now on.
        folder: of the same model.
    """

    def __init__(self, cache: PrefixCache, folder: CacheFolder) -> None:
        self._cache, self._folder = cache, folder
        self._writer = PageWriter(folder.write, _WAITING_NBYTES)
        self._reader: SnapshotReader | WindowReader | None = None
        if cache.windowed is not None:
            self._reader = WindowReader(cache, folder, cache.windowed)
        elif cache.has_snapshots:
            self._reader = SnapshotReader(cache, folder)
        cache.tell_drops(self._keep)

    @classmethod
    def of(cls, cache: PrefixCache, path: Path, nbytes: int, model: Binding) -> LastingCache:
        """With a folder whose files have so many bytes at most; CacheFileError if unusable."""
        return cls(cache, CacheFolder(path, model, cache.sizes, nbytes))

    def load_next(self, tokens: Seq[int] | NDArray[np.int32], adapter: Hashable = None) -> bool:
        """Bring one page more of a prompt from the folder into memory, or what belongs to it.

        To be called before `match` until it is False: then there is no more, or no room for it.
        Between the calls others may go on with their work.
        """
        data = packed(tokens)[:-TOKEN_NBYTES]
        if self._reader is not None:
            n_known = self._cache.n_known(tokens, adapter)
            return self._reader.load_next(data, adapter, n_known)
        root = self._cache.root(adapter)
        path = follow(root, data)
        branch: Branch = path[-1] if path else root
        found = find_page(self._folder, branch, data)
        return read_page(self._cache, self._folder, branch, found) is not None

    def write_ahead(self) -> bool:
        """Have written what would fall out next, so that it costs nothing when it does.

        To be called now and then while nobody waits, until it is False: then nothing is likely to
        fall out, or the disk refuses it.
        """
        if self._cache.nbytes < _NEARLY_FULL * self._cache.max_nbytes:
            return False
        next_out = self._next_out()
        for leaving in next_out:
            more = self._writer.room - leaving.nbytes
            if len(self._writer) and more < self._writer.max_nbytes // 2:
                break  # what falls out at once has room, too
            self._keep(leaving)
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
        end_s, room = time.monotonic() + timeout, self._folder.max_nbytes
        is_done = True
        for leaving in self._latest():
            room -= leaving.nbytes
            if room < 0:
                break
            if time.monotonic() >= end_s or not self._keep(leaving, seconds_until(end_s)):
                is_done = False
                break
        if not (self._writer.wait(seconds_until(end_s)) and is_done):
            text = "the disk is slow: not all remembered prompts are kept, after %.0f seconds"
            log.warning(text, timeout)

    def _latest(self) -> Iterator[Leaving]:
        """All that is remembered and lasts, what was used last first, pages before the rest."""
        needing = self._needing()
        for node in sorted(self._cache.nodes(), key=lambda node: (-node.used_at, node.end)):
            if self._reader is not None and not (node.children or node.snapshots):
                continue  # nobody can go on from there
            yield LeavingPage.of(node)
            yield from self._beside(node, needing)

    def _needing(self) -> Counter[int]:
        """How many places that last need each node's block of layers with a window."""
        layout = self._cache.windowed
        if layout is None:
            return Counter()
        return windows.n_needing(self._cache.nodes(), layout, lasting=True)

    def _beside(
        self, node: Node, needing: Counter[int]
    ) -> Iterator[LeavingWindow | LeavingSnapshot]:
        """What lasts of a node beside its page."""
        if needing[id(node)] and node.window is not None:
            yield LeavingWindow.of(node)
        for n, kept in node.snapshots.items():
            if kept.state is not None and snapshots.is_lasting(node, n):
                yield LeavingSnapshot.of(node, n)

    def _next_out(self) -> list[Leaving]:
        """What is to be written, what would fall out first before the rest."""
        found: list[tuple[float, int, Leaving]] = []
        needing = self._needing()
        for node in self._cache.nodes():
            if self._is_next(node):
                found.append((self._cache.value(node), node.end, LeavingPage.of(node)))
            for one in self._beside(node, needing):
                if not one.is_stored:
                    n = one.end if one.kind == "snapshot" else 0
                    found.append((self._cache.value(node, n), one.end, one))
        left = [one for one in found if one[2].parent and one[2] not in self._writer]
        return [leaving for *_, leaving in sorted(left, key=lambda one: one[:2])]

    def _keep(self, leaving: Leaving, timeout: float = 0.0) -> bool:
        """Have something written; False where too much waits for that, which is then not kept."""
        if not leaving.parent or self._folder.is_paused:
            return True
        return self._writer.offer(leaving, timeout)

    def _is_next(self, node: Node) -> bool:
        """Whether a page is to be written, and what grows from it is, or will be."""
        return not node.is_stored and all(
            child.is_stored or LeavingPage.of(child) in self._writer
            for child in node.children.values()
        )
