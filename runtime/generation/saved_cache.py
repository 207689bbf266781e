"""All that a prefix cache remembers as one file, and back: to start with a known prompt."""

from __future__ import annotations

import os
from pathlib import Path

from halfbyte.engine.binding import Binding
from halfbyte.engine.recurrent_state import RecurrentState
from halfbyte.errors import CacheFileError, EngineError
from halfbyte.generation import cache_file
from halfbyte.generation.adaptation import is_of
from halfbyte.generation.cache_file import CacheFile, PartToStore
from halfbyte.generation.leaving import Leaving, LeavingPage, LeavingSnapshot
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
        leaving += [LeavingSnapshot.of(node, n) for n in sorted(node.snapshots)]
        parts += [
            PartToStore(one.parent.hex(), one.tokens, one.data(), one.is_snapshot)
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
                size = self._cache.sizes.snapshot if part.is_snapshot else self._cache.sizes.page
                if self._cache.nbytes + size > self._cache.max_nbytes:
                    break
                if part.is_snapshot:
                    self._read_snapshot(i)
                else:
                    self._read_page(i)
                    n_tokens += part.n_tokens
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

    def _read_snapshot(self, i: int) -> None:
        pool, parent = self._cache.pool, self._file.parts[i].parent
        branch = self._branches.get(parent)
        near: Node | None = None
        if branch is not None and pool.states is not None:
            tokens = self._file.read_tokens(i)
            near, n = branch.nearest(tokens)
            if n * TOKEN_NBYTES < len(tokens):
                near = None
        if near is None or branch is None or pool.states is None:
            raise self._refused(i, "a snapshot of a page before it", parent)
        block = pool.states.block()
        self._file.read(i, block.data)
        end = branch.end + self._file.parts[i].n_tokens
        self._cache.insert_snapshot(near, end, RecurrentState(pool, end, block))

    def _refused(self, i: int, expected: str, parent: str) -> CacheFileError:
        return CacheFileError(self._file.path, f"part {i}", expected=expected, got=parent)
