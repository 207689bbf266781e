"""Reading a page of a prompt from a cache folder into memory."""

from __future__ import annotations

from pathlib import Path

from halfbyte.errors import EngineError
from halfbyte.generation.cache_folder import CacheFolder
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import PAGE_NBYTES, TOKEN_NBYTES, Branch, Node


def find_page(folder: CacheFolder, branch: Branch, data: bytes) -> Path | None:
    """The file of the page of a prompt that goes on from a branch, if it brings more of it.

    Args:
        folder: where to look.
        branch: what the prompt agrees with.
        data: the prompt's tokens, from its beginning.
    """
    rest = data[branch.end * TOKEN_NBYTES :][:PAGE_NBYTES]
    n_known = branch.nearest(rest)[1]
    return None if n_known * TOKEN_NBYTES == len(rest) else folder.find(branch, rest, n_known)


def read_page(
    cache: PrefixCache, folder: CacheFolder, branch: Branch, path: Path | None
) -> Node | None:
    """Read a page's file, if there is one; None where there is not, or no room for it."""
    if path is None:
        return None
    try:
        page = cache.pool.take()
    except EngineError:
        return None
    own = folder.read(path, branch, page)
    if own is None:
        return None
    node = cache.insert_stored(branch, own, page)
    return node if branch.children.get(node.tokens) is node else None
