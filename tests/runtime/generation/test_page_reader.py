"""A page of a prompt, from a folder into memory."""

from __future__ import annotations

from pathlib import Path

from halfbyte.generation.page_reader import find_page, read_page
from halfbyte.generation.radix_tree import packed
from halfbyte.kernels.layouts.kv_pages import PAGE
from tests.runtime.generation.on_disk import Cache, remember
from tests.runtime.generation.remembered import PAGE_SIZE


def test_what_brings_more_of_a_prompt_is_found_and_read(tmp_path: Path) -> None:
    first = Cache(tmp_path)
    remember(first, [1] * 200)
    first.flush()
    cache = Cache(tmp_path)
    root, data = cache.memory.root(None), packed([1] * 300)
    page = read_page(cache.memory, cache.folder, root, find_page(cache.folder, root, data))
    assert page is not None and page.end == PAGE
    last = read_page(cache.memory, cache.folder, page, find_page(cache.folder, page, data))
    assert last is not None and last.end == 200
    assert find_page(cache.folder, page, packed([1] * 200)) is None  # all of it is known
    assert read_page(cache.memory, cache.folder, page, None) is None
    cache.memory.clear()
    cache.pool.max_nbytes = PAGE_SIZE - 1
    root = cache.memory.root(None)
    assert read_page(cache.memory, cache.folder, root, find_page(cache.folder, root, data)) is None
