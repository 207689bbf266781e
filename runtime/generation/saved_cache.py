"""All that a prefix cache remembers as one file, and back: to start with a known prompt."""

from __future__ import annotations

import os
from pathlib import Path

from halfbyte.engine.binding import Binding
from halfbyte.engine.kv_cache import WINDOWED
from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.errors import CacheFileError, EngineError
from halfbyte.generation import cache_file
from halfbyte.generation.adaptation import is_of
from halfbyte.generation.cache_file import CacheFile, PartToStore
from halfbyte.generation.leaving import Leaving, LeavingPage, LeavingSnapshot, LeavingWindow
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import TOKEN_NBYTES, Branch, Node, child_digest
from halfbyte.kernels.layouts.kv_pages import PAGE


def save(
    cache: PrefixCache, path: str | os.PathLike[str], binding: Binding, scope: str | None = None
) -> int:
    """Write all that is remembered, or what is a scope's; returns the file's bytes.

    What went through adapters that only an object of this process names is left out.

    Raises:
        CacheFileError: the disk is full, or the folder cannot be written. What lay there before is
            still there.
    """
    parts = []
    for node in cache.nodes(scope):
        leaving: list[Leaving] = [LeavingPage.of(node)]
        if node.window is not None:
            leaving.append(LeavingWindow.of(node))
        kept = sorted(node.snapshots.items())
        leaving += [LeavingSnapshot.of(node, n) for n, one in kept if one.state is not None]
        parts += [
            PartToStore(one.parent.hex(), one.tokens, one.data(), one.kind)
            for one in leaving
            if one.parent
        ]
    adapters = [name for name in cache.adapters(scope) if name is None or isinstance(name, str)]
    try:
        return cache_file.write(Path(path), binding, parts, adapters, is_lasting=True)
    except OSError as error:
        raise CacheFileError(
            path, expected=f"to write {sum(p.data.nbytes for p in parts):,} bytes",
            got=error.strerror or str(error),
        ) from error  # fmt: skip


def load(
    cache: PrefixCache, path: str | os.PathLike[str], binding: Binding, scope: str | None = None
) -> int:
    """Remember what a file holds, as far as there is room; returns the tokens that came.

    Raises:
        CacheFileError: it is missing, foreign, cut short or damaged; then pages before the damage
            may have come. Or it holds other prompts than the scope's.
    """
    try:
        with CacheFile(Path(path), binding, cache.sizes) as file:
            if not all(is_of(adapter, scope) for adapter in file.adapters):
                raise CacheFileError(path, expected="one scope's prompts alone", got="others")
            return _Loading(cache, file).run()
    except OSError as error:
        raise CacheFileError(
            path, expected="a file of remembered prompts", got=error.strerror or str(error)
        ) from error


class _Loading:
    """A file on its way into memory."""

    def __init__(self, cache: PrefixCache, file: CacheFile) -> None:
        self._cache, self._file = cache, file
        roots = map(cache.root, file.adapters)
        self._branches: dict[str, Branch] = {root.digest.hex(): root for root in roots}

    def run(self) -> int:
        """Read part by part; returns the tokens of the pages that came."""
        n_tokens = 0
        try:
            for i, part in enumerate(self._file.parts):
                if self._cache.nbytes + self._cache.sizes[part.kind] > self._cache.max_nbytes:
                    break
                if part.kind == "page":
                    self._read_page(i)
                    n_tokens += part.n_tokens
                elif part.kind == "window":
                    self._read_window(i)
                else:
                    self._read_snapshot(i)
        except EngineError:
            pass  # no more memory: what came is of use
        return n_tokens

    def _read_page(self, i: int) -> None:
        parent = self._file.parts[i].parent
        branch = self._branches.get(parent)
        if branch is None or branch.end % PAGE:
            raise self._refused(i, "one that follows a full page", parent)
        page = self._cache.pool.take()
        tokens = self._file.read(i, page.data)
        node = self._cache.insert_stored(branch, tokens, page)
        self._branches[child_digest(branch.digest, tokens).hex()] = node

    def _read_window(self, i: int) -> None:
        node = self._page_of(i)
        if self._cache.windowed is None:
            raise self._refused(i, "a page", self._parent(i))
        if node.window is not None or node.end - node.begin > self._file.parts[i].n_tokens:
            return  # it is known, or of a page that has grown since
        window = self._cache.pool.take(WINDOWED)
        self._file.read(i, window.data)
        self._cache.insert_window(node, window, node, node.end, is_likely=False)

    def _read_snapshot(self, i: int) -> None:
        pool, node = self._cache.pool, self._page_of(i)
        if pool.states is None:
            raise self._refused(i, "a page", self._parent(i))
        block = pool.states.block()
        self._file.read(i, block.data)
        end = node.begin + self._file.parts[i].n_tokens
        self._cache.insert_snapshot(node, end, RecurrentState(pool, end, block))

    def _page_of(self, i: int) -> Node:
        """The page before a part that belongs to it."""
        branch, tokens = self._branches.get(self._parent(i)), self._file.read_tokens(i)
        near, n = (None, 0) if branch is None else branch.nearest(tokens)
        if near is None or n * TOKEN_NBYTES < len(tokens):
            raise self._refused(
                i, f"a {self._file.parts[i].kind} of a page before it", self._parent(i)
            )
        return near

    def _parent(self, i: int) -> str:
        return self._file.parts[i].parent

    def _refused(self, i: int, expected: str, parent: str) -> CacheFileError:
        return CacheFileError(self._file.path, f"part {i}", expected=expected, got=parent)
