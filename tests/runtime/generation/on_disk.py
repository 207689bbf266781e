"""A prefix cache with a folder beneath it, of sequences without a model."""

from __future__ import annotations

from pathlib import Path

from halfbyte.engine.binding import Binding
from halfbyte.engine.page_pool import PagePool
from halfbyte.generation.cache_folder import CacheFolder
from halfbyte.generation.lasting_cache import LastingCache
from halfbyte.generation.prefix_cache import Match, PrefixCache
from tests.runtime.generation.remembered import (
    LAYOUT,
    PAGE_SIZE,
    empty,
    grow,
    held,
)
from tests.runtime.generation.test_cache_file import BINDING
from tests.runtime.generation.test_prefix_cache import PLENTY


class Cache:
    """Memory and folder, as a new process has them."""

    def __init__(
        self,
        path: Path,
        n_pages: int = 100,
        max_nbytes: int = PLENTY,
        *,
        binding: Binding = BINDING,
        pool: PagePool | None = None,
    ) -> None:
        self.pool = pool or PagePool(LAYOUT)
        self.memory = PrefixCache(self.pool, n_pages * PAGE_SIZE)
        self.folder = CacheFolder(path, binding, self.memory.sizes, max_nbytes)
        lasting = LastingCache(self.memory, self.folder)
        self.lasting, self.load_next = lasting, lasting.load_next
        self.write_ahead = lasting.write_ahead

    def flush(self) -> None:
        """As at a process's end."""
        self.lasting.flush(60)

    def wait(self) -> None:
        """Until the disk has what it was given."""
        assert self.lasting.wait(60)


def found(cache: Cache, tokens: list[int], adapter: str | None = None) -> Match:
    """What memory and folder know together."""
    cache.wait()
    while cache.load_next(tokens, adapter):
        pass
    match = cache.memory.match(tokens, adapter)
    assert held(match.sequence) == tokens[: match.n_reused]
    return match


def remember(cache: Cache, tokens: list[int], adapter: str | None = None) -> None:
    cache.memory.put(tokens, grow(empty(cache.pool), tokens), adapter)


def files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file())
