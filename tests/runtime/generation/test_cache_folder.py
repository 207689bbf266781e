"""A folder of pages: what falls out of memory is found again, by another process too."""

from __future__ import annotations

import logging
import os
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halfbyte.engine.binding import Binding
from halfbyte.engine.engine import Engine
from halfbyte.engine.page_pool import PagePool
from halfbyte.errors import CacheFileError
from halfbyte.generation import cache_file
from halfbyte.generation.cache_file import PART
from halfbyte.generation.cache_folder import CacheFolder
from halfbyte.generation.prefix_cache import Match, PrefixCache
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.pool import Pool
from tests.runtime.engine.small_models import SHAPES, build, run
from tests.runtime.generation.remembered import (
    LAYOUT,
    PAGE_SIZE,
    empty,
    empty_folded,
    grow,
    held,
    n_common,
)
from tests.runtime.generation.test_cache_file import BINDING
from tests.runtime.generation.test_prefix_cache import PLENTY, Prompt, trees

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no POSIX permissions here")


def new_cache(path: Path, n_pages: int = 100, max_nbytes: int = PLENTY) -> PrefixCache:
    """As a new process has it."""
    pool = PagePool(LAYOUT)
    cache = PrefixCache(pool, lambda: empty(pool), n_pages * PAGE_SIZE)
    cache.folder = CacheFolder(path, BINDING, PAGE_SIZE, max_nbytes)
    return cache


def found(cache: PrefixCache, tokens: list[int], adapter: str | None = None) -> Match:
    """What memory and folder know together."""
    while cache.load_next(tokens, adapter):
        pass
    match = cache.match(tokens, adapter)
    assert held(match.sequence) == tokens[: match.n_reused]
    return match


def remember(cache: PrefixCache, tokens: list[int], adapter: str | None = None) -> None:
    cache.put(tokens, grow(empty(cache.pool), tokens), adapter)


def files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file())


@given(trees, st.integers(3, 8))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_with_a_small_memory_all_is_found_all_the_same(
    tmp_path: Path, prompts: list[Prompt], n_pages: int
) -> None:
    path = tmp_path / str(time.monotonic_ns())
    cache = new_cache(path, n_pages)
    known: list[list[int]] = []
    for i, prompt in enumerate(prompts):
        tokens = prompt.tokens(known)[: (n_pages - 1) * PAGE]
        match = found(cache, tokens)
        assert match.n_reused == max((n_common(tokens[:-1], k) for k in known), default=0)
        cache.put(tokens, grow(match.sequence, tokens[match.n_reused :]))
        del match
        known.append(tokens)
        assert cache.nbytes == cache.pool.nbytes <= n_pages * PAGE_SIZE
        if i % 3 == 2:  # a new process
            cache.flush()
            cache = new_cache(path, n_pages)
    for tokens in known:
        assert found(cache, [*tokens, 0]).n_reused == len(tokens)


def test_after_a_restart_a_conversation_goes_on(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    remember(cache, [1] * 300)
    remember(cache, [2] * 10, "an adapter")
    assert files(tmp_path) == []
    cache.flush()
    assert len(files(tmp_path)) == 4
    for path in files(tmp_path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
    again = new_cache(tmp_path)
    assert found(again, [1] * 301).n_reused == 300
    assert again.nbytes == 3 * PAGE_SIZE
    assert found(again, [2] * 11).n_reused == 0
    assert found(again, [2] * 11, "an adapter").n_reused == 10


def test_each_page_is_loaded_alone_so_that_others_can_go_on(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    remember(cache, [1] * 300)
    cache.flush()
    again = new_cache(tmp_path)
    sizes = []
    while again.load_next([1] * 400):
        sizes.append(again.nbytes // PAGE_SIZE)
    assert sizes == [1, 2, 3]


def test_what_is_on_disk_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = new_cache(tmp_path)
    remember(cache, [1] * 300)
    cache.flush()
    again = new_cache(tmp_path)
    found(again, [1] * 300)
    written = []
    real = cache_file.write
    monkeypatch.setattr(cache_file, "write", lambda *a, **k: written.append(a) or real(*a, **k))
    for one in (cache, again):
        one.flush()
        one.shrink(PLENTY)
    assert written == []
    found(again, [1] * 300)
    for path in files(tmp_path):
        path.unlink()
    again.flush()
    assert len(written) == 3


def test_the_oldest_go_where_the_folder_is_full(tmp_path: Path) -> None:
    file_nbytes = PAGE_SIZE + 2048
    cache = new_cache(tmp_path, max_nbytes=10 * file_nbytes)
    for i in range(20):
        for path in files(tmp_path):
            before = path.stat().st_mtime_ns - 60 * 10**9  # a minute passes
            os.utime(path, ns=(before, before))
        remember(cache, [i] * 200)
        cache.shrink(PLENTY)
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 10 * file_nbytes
    again = new_cache(tmp_path, max_nbytes=10 * file_nbytes)
    reused = [found(again, [i] * 200).n_reused for i in range(20)]
    assert reused[-3:] == [199] * 3 and reused[:10] == [0] * 10
    # A page goes before the one that it grew from.
    assert set(reused) <= {0, PAGE, 199}


def test_a_page_is_older_than_what_it_grew_from_after_a_use_too(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    remember(cache, [1] * 300)
    cache.flush()
    for path in files(tmp_path):
        os.utime(path, (0, 0))
    again = new_cache(tmp_path)
    found(again, [1] * 300)
    times = {
        path.name[33:65]: path.stat().st_mtime_ns for path in files(tmp_path)
    }  # by the page's digest
    in_order = [times[node.digest.hex()] for node in again.nodes()]
    assert len(in_order) == 3 and in_order == sorted(in_order, reverse=True)
    assert min(in_order) > time.time_ns() - 3600 * 10**9


def test_a_folder_full_of_other_models_pages_has_room(tmp_path: Path) -> None:
    pool = PagePool(LAYOUT)
    other = PrefixCache(pool, lambda: empty(pool), PLENTY)
    other.folder = CacheFolder(tmp_path, replace(BINDING, model="0"), PAGE_SIZE, PLENTY)
    for i in range(8):
        remember(other, [i] * 100)
    other.flush()
    cache = new_cache(tmp_path, max_nbytes=4 * (PAGE_SIZE + 2048))
    assert found(cache, [1] * 100).n_reused == 0
    remember(cache, [9] * 100)
    cache.flush()
    assert 0 < len(files(tmp_path)) <= 4
    assert found(new_cache(tmp_path), [9] * 101).n_reused == 100


def test_a_damaged_page_is_a_word_and_unknown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = new_cache(tmp_path)
    remember(cache, [1] * 128)
    cache.flush()
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:500], b"", whole[:-9] + b"x" + whole[-8:]):
        path.write_bytes(damaged)
        path.chmod(0o600)
        for tokens in ([1] * 129, [1] * 50):
            assert found(new_cache(tmp_path), tokens).n_reused == 0
            assert "of no use" in caplog.text
            assert not path.exists()
            path.write_bytes(damaged)
            caplog.clear()
    path.rename(path.with_name(path.name.replace("-", "-0")[:-6] + ".page"))
    assert found(new_cache(tmp_path), [1] * 50).n_reused == 0


def test_a_page_under_anothers_name_is_refused(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    remember(cache, [1] * 128)
    remember(cache, [2] * 128)
    cache.flush()
    one, two = files(tmp_path)
    one.write_bytes(two.read_bytes())
    again = new_cache(tmp_path)
    reused = {found(again, [i] * 129).n_reused for i in (1, 2)}
    assert reused == {0, 128}


def test_a_full_disk_is_a_word_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = new_cache(tmp_path)
    remember(cache, [1] * 1000)

    def full(*args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_file, "write", full)
    cache.shrink(2 * PAGE_SIZE)
    cache.flush()
    assert caplog.text.count("No space left") == 1
    assert cache.match([1] * 1000).n_reused == 6 * PAGE
    monkeypatch.undo()
    cache.flush()
    assert files(tmp_path) == []  # the disk is left alone for a while
    monkeypatch.setattr(cache.folder, "_paused_until", 0.0)
    cache.flush()
    assert len(files(tmp_path)) == 6


def test_without_room_in_memory_nothing_is_loaded(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    remember(cache, [1] * 300)
    cache.flush()
    again = new_cache(tmp_path)
    again.pool.max_nbytes = 2 * PAGE_SIZE
    assert found(again, [1] * 300).n_reused == 2 * PAGE
    none = new_cache(tmp_path, n_pages=0)
    assert not none.load_next([1] * 300)


def test_states_and_adapters_that_have_no_name_stay_in_memory(tmp_path: Path) -> None:
    pool = PagePool(LAYOUT)
    cache = PrefixCache(pool, lambda: empty_folded(pool), PLENTY)
    cache.folder = CacheFolder(tmp_path, BINDING, PAGE_SIZE, PLENTY)
    cache.put([1] * 9, grow(empty_folded(pool), [1] * 9))
    cache.flush()
    assert not cache.load_next([1] * 20)
    cache.shrink(PLENTY)
    plain = new_cache(tmp_path)
    plain.put([1] * 9, grow(empty(plain.pool), [1] * 9), adapter=object())
    plain.flush()
    assert files(tmp_path) == []


def test_unfinished_files_of_the_past_are_removed_and_foreign_ones_are_not(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    own = tmp_path / BINDING.digest / "00"
    own.mkdir()
    old, new = own / f".a{PART}", own / f".b{PART}"
    foreign = [tmp_path / f".c{PART}", own / "photograph.jpg"]
    for path in (old, new, *foreign):
        path.touch()
        if path != new:
            os.utime(path, (0, 0))
    remember(cache, [1] * 9)
    cache.flush()
    assert not old.exists() and new.exists() and all(path.exists() for path in foreign)


def test_a_folder_that_is_smaller_than_a_page_stays_empty(tmp_path: Path) -> None:
    cache = new_cache(tmp_path, max_nbytes=PAGE_SIZE)
    remember(cache, [1] * 9)
    cache.flush()
    cache.shrink(PLENTY)
    assert files(tmp_path) == []


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(CacheFileError, match="only this user"):
        CacheFolder(tmp_path, BINDING, PAGE_SIZE, PLENTY)
    (tmp_path / "file").touch()
    tmp_path.chmod(0o700)
    with pytest.raises(CacheFileError):
        CacheFolder(tmp_path / "file", BINDING, PAGE_SIZE, PLENTY)


def test_a_folder_that_is_removed_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = new_cache(tmp_path / "folder")
    remember(cache, [1] * 9)
    (tmp_path / "folder" / BINDING.digest).rmdir()
    assert not cache.load_next([5] * 20)
    with caplog.at_level(logging.WARNING):
        cache.flush()
    assert "not kept" in caplog.text


def test_after_a_restart_logits_are_the_same_bits(tmp_path: Path, threads: Pool) -> None:
    model = build(SHAPES["Q4_0"], threads)
    tokens = model.tokens(310)

    def cache_of(engine: Engine) -> PrefixCache:
        made = PrefixCache(engine.pages, engine.new_sequence, PLENTY)
        binding = Binding.of(engine, "aa" * 32)
        made.folder = CacheFolder(tmp_path, binding, engine.layout.page_nbytes, PLENTY)
        return made

    with closing(model.engine(threads)) as engine:
        sequence = engine.new_sequence()
        run(engine, tokens[:300], [150, 150], sequence)
        cache = cache_of(engine)
        cache.put(tokens, sequence)
        cache.flush()
    with closing(model.engine(threads)) as engine:
        cache = cache_of(engine)
        while cache.load_next(tokens):
            pass
        sequence = cache.match(tokens).sequence
        assert sequence.n_past == 300
        got = run(engine, tokens[300:], [10], sequence)
        expected = run(engine, tokens, [200, 110])[300:]
        assert (got == expected).all()
