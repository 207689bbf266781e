"""All that a prefix cache remembers as one file, and back: to start with a known prompt."""

from __future__ import annotations

import os
from pathlib import Path

from halfbyte.engine.binding import Binding
from halfbyte.errors import CacheFileError, EngineError
from halfbyte.generation import cache_file
from halfbyte.generation.adaptation import is_of
from halfbyte.generation.cache_file import CacheFile, PageToStore
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import Branch, child_digest
from halfbyte.kernels.layouts.kv_pages import PAGE


def save(
    cache: PrefixCache, path: str | os.PathLike[str], binding: Binding, scope: str | None = None
) -> int:
    """Write all that is remembered, or what is a scope's; returns the file's bytes.

    Pages of adapters that only an object of this process names are left out.

    Raises:
        CacheFileError: the disk is full, the folder cannot be written, or the model has states
            that are not kept on disk. What lay there before is still there.
    """
    _check_states(cache, path)
    nodes = [node for node in cache.nodes(scope) if node.digest]
    pages = [PageToStore(n.parent.digest.hex(), n.tokens, n.page.data) for n in nodes]
    adapters = [name for name in cache.adapters(scope) if name is None or isinstance(name, str)]
    try:
        return cache_file.write(Path(path), binding, pages, adapters, is_lasting=True)
    except OSError as error:
        raise CacheFileError(
            path, expected=f"to write {sum(p.data.nbytes for p in pages):,} bytes",
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
    _check_states(cache, path)
    n_tokens = 0
    try:
        with CacheFile(Path(path), binding, cache.pool.layout.page_nbytes) as file:
            if not all(is_of(adapter, scope) for adapter in file.adapters):
                raise CacheFileError(path, expected="one scope's prompts alone", got="others")
            branches: dict[str, Branch] = {
                root.digest.hex(): root for root in map(cache.root, file.adapters)
            }
            for i, stored in enumerate(file.pages):
                if cache.nbytes + cache.pool.layout.page_nbytes > cache.max_nbytes:
                    break
                branch = branches.get(stored.parent)
                if branch is None or branch.end % PAGE:
                    raise CacheFileError(
                        path, f"page {i}", expected="one that follows a full page",
                        got=stored.parent,
                    )  # fmt: skip
                page = cache.pool.take()
                tokens = file.read(i, page.data)
                node = cache.insert_stored(branch, tokens, page)
                n_tokens += stored.n_tokens
                branches[child_digest(branch.digest, tokens).hex()] = node
    except OSError as error:
        raise CacheFileError(
            path, expected="a file of remembered prompts", got=error.strerror or str(error)
        ) from error
    except EngineError:
        pass  # no more memory: what came is of use
    return n_tokens


def _check_states(cache: PrefixCache, path: str | os.PathLike[str]) -> None:
    if cache.has_snapshots:
        raise CacheFileError(
            path, expected="a model whose state is keys and values alone", got="another one"
        )
