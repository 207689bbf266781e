"""Snapshots on disk: found by a process that comes later, bit for bit, or not at all."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halfbyte.generation import cache_file
from tests.runtime.generation.on_disk import Cache, files, found
from tests.runtime.generation.remembered import PAGE_SIZE, empty, grow, pool_of_states
from tests.runtime.generation.test_cache_file import BINDING
from tests.runtime.generation.test_prefix_cache import PLENTY, Prompt, lengths, trees


def new(path: Path, n_pages: int = 100) -> Cache:
    return Cache(path, n_pages, pool=pool_of_states())


def remember(cache: Cache, tokens: list[int], *positions: int) -> None:
    sequence = empty(cache.pool)
    for n in (*positions, len(tokens)):
        cache.memory.put(tokens, grow(sequence, tokens[sequence.n_past : n]))


def snapshot_files(path: Path) -> list[Path]:
    return [file for file in files(path) if file.suffix == ".state"]


@given(trees, st.lists(lengths, max_size=3), st.sampled_from([4, 6, 100]))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_with_a_small_memory_all_is_found_all_the_same(
    tmp_path: Path, prompts: list[Prompt], positions: list[int], n_pages: int
) -> None:
    """`found` compares what the states have seen with the tokens."""
    path = tmp_path / str(time.monotonic_ns())
    cache, known, kept = new(path, n_pages), list[list[int]](), list[list[int]]()
    for i, prompt in enumerate(prompts):
        tokens = prompt.tokens(known)[: (n_pages - 1) * 100]
        match = found(cache, tokens)
        expected = max((len(k) for k in kept if tokens[:-1][: len(k)] == k), default=0)
        assert match.n_reused == expected
        sequence = match.sequence
        for n in sorted({*positions, len(tokens)}):
            if sequence.n_past < n <= len(tokens):
                cache.memory.put(tokens, grow(sequence, tokens[sequence.n_past : n]))
                kept.append(tokens[:n])
        del match, sequence
        known.append(tokens)
        cache.wait()
        assert cache.memory.nbytes == cache.pool.nbytes <= n_pages * PAGE_SIZE
        if i % 3 == 2:  # a new process
            cache.flush()
            cache = new(path, n_pages)


def test_after_a_restart_a_conversation_goes_on_from_its_last_snapshot(tmp_path: Path) -> None:
    cache = new(tmp_path)
    remember(cache, [1] * 300, 140, 290)
    cache.flush()
    assert len(files(tmp_path)) == 6 and len(snapshot_files(tmp_path)) == 3
    for n, expected in ((301, 300), (300, 290), (291, 290), (290, 140), (140, 0)):
        assert found(new(tmp_path), [1] * n).n_reused == expected
    again = new(tmp_path)
    steps = 0
    while again.load_next([1] * 295):
        steps += 1
    assert steps == 4  # three pages and one snapshot, so that others can go on between them
    assert [node.end for node in again.memory.nodes()] == [128, 256, 300]
    assert not again.load_next([1] * 295)
    assert again.memory.nbytes == again.pool.nbytes


def test_a_page_that_no_snapshot_ends_is_not_read(tmp_path: Path) -> None:
    cache = new(tmp_path)
    remember(cache, [1] * 300, 200)
    cache.flush()
    again = new(tmp_path)
    assert found(again, [1] * 250).n_reused == 200
    assert [node.end for node in again.memory.nodes()] == [128, 256]
    other = new(tmp_path)
    assert found(other, [1] * 199).n_reused == 0 and other.memory.nbytes == 0


@pytest.mark.parametrize("n_pages_lost", [0, 1])
def test_where_a_file_is_gone_or_bad_the_snapshot_before_serves(
    tmp_path: Path, n_pages_lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    cache = new(tmp_path)
    remember(cache, [1] * 300, 100)
    cache.flush()
    (last,) = (p for p in snapshot_files(tmp_path) if p.name.endswith("-044.state"))
    whole = last.read_bytes()
    pages = [p for p in files(tmp_path) if p.suffix == ".page" and p.name[:4] == last.name[:4]]
    if n_pages_lost:
        pages[0].unlink()
        assert found(new(tmp_path), [1] * 301).n_reused == 100
        return
    for damaged in (whole[:-1], whole[:300], b"", whole[:-9] + b"x" + whole[-8:]):
        last.write_bytes(damaged)
        caplog.clear()
        again = new(tmp_path)
        assert found(again, [1] * 301).n_reused == 100
        assert "of no use" in caplog.text and not last.exists()


def test_a_snapshot_under_anothers_name_or_binding_is_not_used(tmp_path: Path) -> None:
    cache = new(tmp_path)
    for token in (1, 2):
        remember(cache, [token] * 100)
    cache.flush()
    one, two = snapshot_files(tmp_path)
    one.write_bytes(two.read_bytes())
    assert {found(new(tmp_path), [token] * 101).n_reused for token in (1, 2)} == {0, 100}
    other = replace(BINDING, states="another")
    foreign = Cache(tmp_path, binding=other, pool=pool_of_states())
    assert found(foreign, [1] * 101).n_reused == found(foreign, [2] * 101).n_reused == 0


def test_what_falls_out_is_on_disk_and_what_is_thinned_is_not(tmp_path: Path) -> None:
    cache = new(tmp_path, n_pages=5)
    remember(cache, [1] * 400, 128, 256)
    assert files(tmp_path) == []
    remember(cache, [2] * 400)
    cache.wait()
    assert found(new(tmp_path), [1] * 401).n_reused == 400
    assert cache.memory.nbytes <= 5 * PAGE_SIZE


def test_writing_ahead_makes_room_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = new(tmp_path, n_pages=5)
    remember(cache, [1] * 400)
    while cache.write_ahead():
        cache.wait()
    assert found(new(tmp_path), [1] * 401).n_reused == 400
    written = []
    monkeypatch.setattr(cache_file, "write", lambda *a, **k: written.append(a) or 1)
    cache.memory.max_nbytes = 0
    remember(cache, [1] * 1)
    assert cache.memory.nbytes == 0 and len(written) <= 2  # what is new: a token


def test_a_snapshot_that_memory_cannot_hold_is_not_loaded(tmp_path: Path) -> None:
    cache = new(tmp_path)
    remember(cache, [1] * 300)
    cache.flush()
    for n_pages in (0, 1, 2):
        assert found(new(tmp_path, n_pages), [1] * 301).n_reused == 0
    bounded = new(tmp_path)
    bounded.pool.max_nbytes = 3 * PAGE_SIZE  # not for the state
    assert found(bounded, [1] * 301).n_reused == 0
    assert PLENTY > bounded.pool.nbytes
