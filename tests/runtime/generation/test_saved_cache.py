"""A prefix cache in one file."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from halfbyte.engine.page_pool import PagePool
from halfbyte.errors import CacheFileError
from halfbyte.generation import cache_file
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import Root, child_digest, packed
from halfbyte.generation.saved_cache import load, save
from halfbyte.kernels.layouts.kv_pages import PAGE
from tests.runtime.generation.remembered import (
    LAYOUT,
    PAGE_SIZE,
    STATE_SIZE,
    empty,
    grow,
    held,
    pool_of_states,
)
from tests.runtime.generation.test_cache_file import BINDING
from tests.runtime.generation.test_prefix_cache import PLENTY, Prompt, trees


def new_cache(n_pages: int = 100) -> PrefixCache:
    pool = PagePool(LAYOUT)
    return PrefixCache(pool, n_pages * PAGE_SIZE)


@pytest.fixture
def cache() -> PrefixCache:
    """With two prompts of a common beginning, and one of an adapter."""
    made = new_cache()
    for tokens in ([1] * 300, [1] * 200 + [2] * 100):
        made.put(tokens, grow(empty(made.pool), tokens))
    made.put([3] * 9, grow(empty(made.pool), [3] * 9), "an adapter")
    made.put([4] * 9, grow(empty(made.pool), [4] * 9), 17)
    return made


@given(trees)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_saved_is_loaded(tmp_path: Path, prompts: list[Prompt]) -> None:
    first, known = new_cache(), list[list[int]]()
    for prompt in prompts:
        tokens = prompt.tokens(known)
        first.put(tokens, grow(empty(first.pool), tokens))
        known.append(tokens)
    path = tmp_path / "file"
    assert save(first, path, BINDING) == path.stat().st_size
    second = new_cache()
    load(second, path, BINDING)
    assert second.nbytes == first.nbytes == second.pool.nbytes
    for tokens in known:
        match = second.match([*tokens, 0])
        assert held(match.sequence) == tokens
        del match
    nbytes = second.nbytes
    load(second, path, BINDING)  # again: nothing is held twice
    assert second.nbytes == nbytes == second.pool.nbytes


def test_adapters_are_kept_apart(cache: PrefixCache, tmp_path: Path) -> None:
    save(cache, tmp_path / "file", BINDING)
    again = new_cache()
    assert load(again, tmp_path / "file", BINDING) == 300 + (300 - PAGE) + 9
    assert again.match([3] * 20).n_reused == again.match([4] * 20, 17).n_reused == 0
    assert again.match([3] * 20, "an adapter").n_reused == 9


def test_as_much_is_loaded_as_there_is_room_for(cache: PrefixCache, tmp_path: Path) -> None:
    save(cache, tmp_path / "file", BINDING)
    for n_pages in range(6):
        small = new_cache(n_pages)
        n_tokens = load(small, tmp_path / "file", BINDING)
        nodes = list(small.nodes())
        assert n_tokens == sum(node.end - node.begin for node in nodes)
        assert small.nbytes == small.pool.nbytes == len(nodes) * PAGE_SIZE == n_pages * PAGE_SIZE
    bounded = new_cache()
    bounded.pool.max_nbytes = PAGE_SIZE
    load(bounded, tmp_path / "file", BINDING)
    assert bounded.nbytes == PAGE_SIZE


def test_foreign_missing_and_damaged_files_are_one_error(
    cache: PrefixCache, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    save(cache, path, BINDING)
    again = new_cache()
    with pytest.raises(CacheFileError, match="model"):
        load(again, path, replace(BINDING, model="0"))
    for other in (tmp_path, tmp_path / "another"):
        with pytest.raises(CacheFileError):
            load(again, other, BINDING)
    assert again.nbytes == 0
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CacheFileError, match="cut short"):
        load(again, path, BINDING)
    path.write_bytes(path.read_bytes()[:-1] + b"xx")
    with pytest.raises(CacheFileError):
        load(again, path, BINDING)
    for tokens in ([1] * 400, [1] * 200 + [2] * 200):
        match = again.match(tokens)
        assert held(match.sequence) == tokens[: match.n_reused]


def test_a_page_without_its_parent_is_refused(cache: PrefixCache, tmp_path: Path) -> None:
    path = tmp_path / "file"
    nodes = list(cache.nodes())
    for node in (nodes[-1], *(n for n in nodes if n.begin)):
        page = cache_file.PartToStore(
            node.parent.digest.hex() or "0" * 32, node.tokens, node.page.data
        )
        cache_file.write(path, BINDING, [page], ["another"], is_lasting=False)
        with pytest.raises(CacheFileError, match="part 0"):
            load(new_cache(), path, BINDING)


def test_a_page_behind_one_that_is_not_full_is_refused(tmp_path: Path) -> None:
    path, root = tmp_path / "file", Root(None)
    data = np.zeros(PAGE_SIZE, np.uint8)
    tokens = packed([1, 2, 3])
    pages = [
        cache_file.PartToStore(root.digest.hex(), tokens, data),
        cache_file.PartToStore(child_digest(root.digest, tokens).hex(), tokens, data),
    ]
    cache_file.write(path, BINDING, pages, [None], is_lasting=False)
    with pytest.raises(CacheFileError, match="part 1"):
        load(new_cache(), path, BINDING)


def test_a_full_disk_and_a_folder_that_is_not_there(
    cache: PrefixCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CacheFileError, match="to write"):
        save(cache, tmp_path / "none" / "file", BINDING)

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_file, "_write_all", full)
    with pytest.raises(CacheFileError, match="No space left"):
        save(cache, tmp_path / "file", BINDING)
    assert list(tmp_path.iterdir()) == []


def test_snapshots_are_saved_bit_for_bit(tmp_path: Path) -> None:
    path, first = tmp_path / "file", PrefixCache(pool_of_states(), PLENTY)
    texts = [1] * 300, [1] * 200 + [2] * 100
    for tokens in texts:
        sequence = first.match(tokens).sequence
        for n in (150, 200, 300):
            if sequence.n_past < n:
                first.put(tokens, grow(sequence, tokens[sequence.n_past : n]))
    del sequence
    assert save(first, path, BINDING) == path.stat().st_size
    second = PrefixCache(pool_of_states(), PLENTY)
    assert load(second, path, BINDING) == 300 + 172
    assert second.nbytes == first.nbytes == second.pool.nbytes
    for tokens in texts:
        for n in (150, 200, 300):
            assert held(second.match([*tokens[:n], 0]).sequence) == tokens[:n]


def test_a_snapshot_without_its_page_and_of_a_model_without_states(tmp_path: Path) -> None:
    path, root = tmp_path / "file", Root(None)
    states, plain = PrefixCache(pool_of_states(), PLENTY), new_cache()
    snapshot = cache_file.PartToStore(
        root.digest.hex(), packed([1, 2, 3]), np.zeros(STATE_SIZE, np.uint8), kind="snapshot"
    )
    page = cache_file.PartToStore(root.digest.hex(), packed([1, 5]), np.zeros(PAGE_SIZE, np.uint8))
    for parts in ([snapshot], [page, snapshot]):
        cache_file.write(path, BINDING, parts, [None], is_lasting=False)
        with pytest.raises(CacheFileError, match=f"part {len(parts) - 1}.*snapshot"):
            load(states, path, BINDING)
        with pytest.raises(CacheFileError):
            load(plain, path, BINDING)
