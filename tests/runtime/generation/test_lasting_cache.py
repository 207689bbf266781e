"""Memory with a folder beneath it: what falls out is found again, by another process too."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halfbyte.engine.binding import Binding
from halfbyte.engine.engine import Engine
from halfbyte.generation import cache_file, lasting_cache
from halfbyte.generation.cache_folder import CacheFolder
from halfbyte.generation.lasting_cache import LastingCache
from halfbyte.generation.leaving import LeavingPage
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.pool import Pool
from tests.runtime.engine.small_models import SHAPES, build, run
from tests.runtime.generation.on_disk import Cache, files, found, remember
from tests.runtime.generation.remembered import (
    PAGE_SIZE,
    empty,
    grow,
    n_common,
    pool_of_states,
)
from tests.runtime.generation.test_prefix_cache import PLENTY, Prompt, trees

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no POSIX permissions here")


@given(trees, st.integers(3, 8))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_with_a_small_memory_all_is_found_all_the_same(
    tmp_path: Path, prompts: list[Prompt], n_pages: int
) -> None:
    path = tmp_path / str(time.monotonic_ns())
    cache = Cache(path, n_pages)
    known: list[list[int]] = []
    for i, prompt in enumerate(prompts):
        tokens = prompt.tokens(known)[: (n_pages - 1) * PAGE]
        match = found(cache, tokens)
        assert match.n_reused == max((n_common(tokens[:-1], k) for k in known), default=0)
        cache.memory.put(tokens, grow(match.sequence, tokens[match.n_reused :]))
        del match
        known.append(tokens)
        cache.wait()
        assert cache.memory.nbytes == cache.pool.nbytes <= n_pages * PAGE_SIZE
        if i % 3 == 2:  # a new process
            cache.flush()
            cache = Cache(path, n_pages)
    for tokens in known:
        assert found(cache, [*tokens, 0]).n_reused == len(tokens)


def test_after_a_restart_a_conversation_goes_on(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    remember(cache, [1] * 300)
    remember(cache, [2] * 10, "an adapter")
    assert files(tmp_path) == []
    cache.flush()
    assert len(files(tmp_path)) == 4
    for path in files(tmp_path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
    again = Cache(tmp_path)
    assert found(again, [1] * 301).n_reused == 300
    assert again.memory.nbytes == 3 * PAGE_SIZE
    assert found(again, [2] * 11).n_reused == 0
    assert found(again, [2] * 11, "an adapter").n_reused == 10


def test_each_page_is_loaded_alone_so_that_others_can_go_on(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    remember(cache, [1] * 300)
    cache.flush()
    again = Cache(tmp_path)
    sizes = []
    while again.load_next([1] * 400):
        sizes.append(again.memory.nbytes // PAGE_SIZE)
    assert sizes == [1, 2, 3]


def test_what_is_on_disk_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path)
    remember(cache, [1] * 300)
    cache.flush()
    again = Cache(tmp_path)
    found(again, [1] * 300)
    written = []
    real = cache_file.write
    monkeypatch.setattr(cache_file, "write", lambda *a, **k: written.append(a) or real(*a, **k))
    for one in (cache, again):
        one.flush()
        one.memory.shrink(PLENTY)
    assert written == []
    found(again, [1] * 300)
    for path in files(tmp_path):
        path.unlink()
    again.flush()
    assert len(written) == 3


def test_without_room_in_memory_nothing_is_loaded(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    remember(cache, [1] * 300)
    cache.flush()
    again = Cache(tmp_path)
    again.pool.max_nbytes = 2 * PAGE_SIZE
    assert found(again, [1] * 300).n_reused == 2 * PAGE
    none = Cache(tmp_path, n_pages=0)
    assert not none.load_next([1] * 300)


def test_what_went_through_adapters_that_have_no_name_stays_in_memory(tmp_path: Path) -> None:
    for pool in (None, pool_of_states()):
        plain = Cache(tmp_path, pool=pool)
        plain.memory.put([1] * 9, grow(empty(plain.pool), [1] * 9), adapter=object())
        plain.flush()
        assert files(tmp_path) == []


def test_after_a_restart_logits_are_the_same_bits(tmp_path: Path, threads: Pool) -> None:
    model = build(SHAPES["Q4_0"], threads)
    tokens = model.tokens(310)

    def caches(engine: Engine) -> tuple[PrefixCache, LastingCache]:
        memory = PrefixCache(engine.pages, PLENTY)
        binding = Binding.of(engine, "aa" * 32)
        folder = CacheFolder(tmp_path, binding, memory.sizes, PLENTY)
        return memory, LastingCache(memory, folder)

    with closing(model.engine(threads)) as engine:
        sequence = engine.new_sequence()
        run(engine, tokens[:300], [150, 150], sequence)
        memory, lasting = caches(engine)
        memory.put(tokens, sequence)
        lasting.flush(60)
    with closing(model.engine(threads)) as engine:
        memory, lasting = caches(engine)
        while lasting.load_next(tokens):
            pass
        sequence = memory.match(tokens).sequence
        assert sequence.n_past == 300
        got = run(engine, tokens[300:], [10], sequence)
        expected = run(engine, tokens, [200, 110])[300:]
        assert (got == expected).all()


def test_what_would_fall_out_next_is_written_ahead(tmp_path: Path) -> None:
    cache = Cache(tmp_path, n_pages=4)
    remember(cache, [1] * 200)
    assert not cache.write_ahead()  # there is room
    remember(cache, [2] * 128)
    first, *others = sorted(cache.memory.nodes(), key=cache.memory.value)
    assert first.end == 200
    assert cache.write_ahead()
    cache.wait()
    assert first.is_stored
    while cache.write_ahead():
        cache.wait()
    assert len(files(tmp_path)) == 3
    assert all(node.is_stored for node in others)
    before = {path: path.stat().st_ino for path in files(tmp_path)}
    cache.memory.shrink(PLENTY)
    assert {path: path.stat().st_ino for path in files(tmp_path)} == before
    assert found(cache, [1] * 201).n_reused == 200


def test_a_disk_that_refuses_ends_the_writing_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_file, "write", full)
    cache = Cache(tmp_path, n_pages=2)
    remember(cache, [1] * 200)
    cache.write_ahead()
    cache.wait()
    assert not cache.write_ahead()


class SlowDisk:
    """A disk that takes nothing until it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_write, self.n_begun = threading.Event(), 0
        real = cache_file.write

        def write(*args: Any, **kwargs: Any) -> int:
            self.n_begun += 1
            assert self.may_write.wait(60)
            return real(*args, **kwargs)

        monkeypatch.setattr(cache_file, "write", write)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.may_write.set()


def test_nobody_waits_for_a_slow_disk(
    tmp_path: Path, slow_disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting_cache, "_WAITING_NBYTES", 3 * PAGE_SIZE)
    cache = Cache(tmp_path, n_pages=2)
    for i in range(20):
        remember(cache, [i] * 100)  # returns
        assert cache.memory.nbytes <= 2 * PAGE_SIZE
        assert cache.pool.nbytes <= 5 * PAGE_SIZE  # those that wait for the disk, too
    assert cache.write_ahead() and files(tmp_path) == []
    slow_disk.may_write.set()
    cache.wait()
    assert len(files(tmp_path)) == 3  # of the rest the disk had no time
    again = Cache(tmp_path)
    assert [found(again, [i] * 101).n_reused for i in range(4)] == [100, 100, 100, 0]


def test_what_waits_for_the_disk_gives_its_memory(
    tmp_path: Path, slow_disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting_cache, "_FORGETTING_S", 0.01)
    cache = Cache(tmp_path, n_pages=1)
    for i in range(5):
        remember(cache, [i] * 100)
    assert cache.pool.nbytes == 5 * PAGE_SIZE and slow_disk.n_begun <= 1
    assert cache.lasting.give_memory()
    assert cache.pool.nbytes <= 2 * PAGE_SIZE  # one may be on its way
    slow_disk.may_write.set()
    cache.wait()
    assert cache.pool.nbytes == PAGE_SIZE and not cache.lasting.give_memory()


def test_closing_waits_for_a_slow_disk_for_a_while(
    tmp_path: Path, slow_disk: SlowDisk, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path)
    remember(cache, [1] * 1000)
    cache.lasting.flush(0.01)
    assert "the disk is slow" in caplog.text
    slow_disk.may_write.set()
    cache.wait()
    caplog.clear()
    cache.flush()
    assert len(files(tmp_path)) == 8 and not caplog.text
    assert found(Cache(tmp_path), [1] * 1001).n_reused == 1000


def test_what_grows_while_it_is_written_is_whole(tmp_path: Path, slow_disk: SlowDisk) -> None:
    """Whoever goes on from a page writes behind its tokens, while it is on its way."""
    cache = Cache(tmp_path)
    sequence = grow(empty(cache.pool), [1] * 100)
    cache.memory.put([1] * 100, sequence)
    cache.lasting._keep(LeavingPage.of(next(iter(cache.memory.nodes()))))
    grow(sequence, [2] * 28)
    slow_disk.may_write.set()
    cache.wait()
    grow(sequence, [3] * 28)
    again = Cache(tmp_path)
    assert found(again, [1] * 101).n_reused == 100


def test_without_another_thread_the_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while the interpreter ends."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    cache = Cache(tmp_path)
    remember(cache, [1] * 300)
    cache.flush()
    assert len(files(tmp_path)) == 3


def test_without_another_thread_a_slow_disk_is_waited_for_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    real = cache_file.write

    def write(*args: Any, **kwargs: Any) -> int:
        time.sleep(0.1)
        return real(*args, **kwargs)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(cache_file, "write", write)
    cache = Cache(tmp_path)
    remember(cache, [1] * 300)
    cache.lasting.flush(0.05)
    assert len(files(tmp_path)) < 3 and "the disk is slow" in caplog.text
