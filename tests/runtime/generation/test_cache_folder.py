"""A folder of pages: whose it is, how large, what is damaged, and what goes first."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import CacheFileError
from halfbyte.generation import cache_file
from halfbyte.generation.cache_file import PART, Sizes
from halfbyte.generation.cache_folder import CacheFolder
from halfbyte.kernels.layouts.kv_pages import PAGE
from tests.runtime.generation.on_disk import Cache, files, found, remember
from tests.runtime.generation.remembered import (
    PAGE_SIZE,
)
from tests.runtime.generation.test_cache_file import BINDING
from tests.runtime.generation.test_prefix_cache import PLENTY

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no POSIX permissions here")


def test_the_oldest_go_where_the_folder_is_full(tmp_path: Path) -> None:
    file_nbytes = PAGE_SIZE + 2048
    cache = Cache(tmp_path, max_nbytes=10 * file_nbytes)
    for i in range(20):
        for path in files(tmp_path):
            before = path.stat().st_mtime_ns - 60 * 10**9  # a minute passes
            os.utime(path, ns=(before, before))
        remember(cache, [i] * 200)
        cache.flush()
        cache.memory.clear()
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 10 * file_nbytes
    again = Cache(tmp_path, max_nbytes=10 * file_nbytes)
    reused = [found(again, [i] * 200).n_reused for i in range(20)]
    assert reused[-3:] == [199] * 3 and reused[:10] == [0] * 10
    # A page goes before the one that it grew from.
    assert set(reused) <= {0, PAGE, 199}


def test_several_processes_keep_one_bound(tmp_path: Path) -> None:
    file_nbytes = PAGE_SIZE + 2048
    caches = [Cache(tmp_path, max_nbytes=40 * file_nbytes) for _ in range(3)]
    for i in range(30):
        for j, cache in enumerate(caches):
            remember(cache, [i, j] * 64)
            cache.flush()
            cache.memory.clear()
    # Each may have written a sixteenth that the others have not seen.
    assert 20 <= len(files(tmp_path)) <= 40 + 2 * 40 // 16


def test_the_folder_is_not_looked_through_for_each_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, looks = Cache(tmp_path, max_nbytes=1600 * (PAGE_SIZE + 2048)), list[int]()
    real = cache.folder._files
    monkeypatch.setattr(cache.folder, "_files", lambda: looks.append(1) or real())
    for i in range(50):
        remember(cache, [i] * 128)
    cache.flush()
    assert len(files(tmp_path)) == 50 and len(looks) == 1


def test_a_page_is_older_than_what_it_grew_from_after_a_use_too(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    remember(cache, [1] * 300)
    cache.flush()
    for path in files(tmp_path):
        os.utime(path, (0, 0))
    again = Cache(tmp_path)
    found(again, [1] * 300)
    times = {
        path.name[33:65]: path.stat().st_mtime_ns for path in files(tmp_path)
    }  # by the page's digest
    in_order = [times[node.digest.hex()] for node in again.memory.nodes()]
    assert len(in_order) == 3 and in_order == sorted(in_order, reverse=True)
    assert min(in_order) > time.time_ns() - 3600 * 10**9


def test_a_folder_full_of_other_models_pages_has_room(tmp_path: Path) -> None:
    other = Cache(tmp_path, binding=replace(BINDING, model="0"))
    for i in range(8):
        remember(other, [i] * 100)
    other.flush()
    cache = Cache(tmp_path, max_nbytes=4 * (PAGE_SIZE + 2048))
    assert found(cache, [1] * 100).n_reused == 0
    remember(cache, [9] * 100)
    cache.flush()
    assert 0 < len(files(tmp_path)) <= 4
    assert found(Cache(tmp_path), [9] * 101).n_reused == 100


def test_a_damaged_page_is_a_word_and_unknown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path)
    remember(cache, [1] * 128)
    cache.flush()
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:500], b"", whole[:-9] + b"x" + whole[-8:]):
        path.write_bytes(damaged)
        path.chmod(0o600)
        for tokens in ([1] * 129, [1] * 50):
            assert found(Cache(tmp_path), tokens).n_reused == 0
            assert "of no use" in caplog.text
            assert not path.exists()
            path.write_bytes(damaged)
            caplog.clear()
    path.rename(path.with_name(path.name.replace("-", "-0")[:-6] + ".page"))
    assert found(Cache(tmp_path), [1] * 50).n_reused == 0


def test_a_page_under_anothers_name_is_refused(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    remember(cache, [1] * 128)
    remember(cache, [2] * 128)
    cache.flush()
    one, two = files(tmp_path)
    one.write_bytes(two.read_bytes())
    again = Cache(tmp_path)
    reused = {found(again, [i] * 129).n_reused for i in (1, 2)}
    assert reused == {0, 128}


def test_a_full_disk_is_a_word_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path)
    remember(cache, [1] * 1000)

    def full(*args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_file, "write", full)
    cache.memory.shrink(2 * PAGE_SIZE)
    cache.flush()
    assert caplog.text.count("No space left") == 1
    assert cache.memory.match([1] * 1000).n_reused == 6 * PAGE
    monkeypatch.undo()
    cache.flush()
    assert files(tmp_path) == []  # the disk is left alone for a while
    monkeypatch.setattr(cache.folder, "_paused_until", 0.0)
    cache.flush()
    assert len(files(tmp_path)) == 6


def test_unfinished_files_of_the_past_are_removed_and_foreign_ones_are_not(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
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


def test_a_folder_that_is_smaller_than_a_page_stays_empty_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path, n_pages=1, max_nbytes=PAGE_SIZE)
    for i in range(2):
        remember(cache, [i] * 9)
        cache.write_ahead()
        cache.wait()
        assert not cache.write_ahead()  # nobody looks again and again
        cache.flush()
    assert files(tmp_path) == []
    assert caplog.text.count("no prompt is kept") == 1


def test_where_the_time_of_a_file_cannot_be_set_a_page_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    cache = Cache(tmp_path, n_pages=1)
    remember(cache, [1] * 9)
    assert cache.write_ahead()
    cache.wait()
    assert not cache.write_ahead()
    (path,) = files(tmp_path)
    inode = path.stat().st_ino
    cache.flush()
    assert path.stat().st_ino == inode


def test_a_disk_that_refuses_to_look_is_a_word_and_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path)
    remember(cache, [1] * 128)
    cache.flush()
    again, real = Cache(tmp_path), os.stat

    def refuse(*args: Any, **kwargs: Any) -> Any:
        if str(args[0]).endswith(".page"):
            raise OSError(5, "Input/output error")
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", refuse)
        patched.setattr(os, "scandir", refuse_all)
        for _ in range(2):
            assert found(again, [1] * 129).n_reused == 0
    assert caplog.text.count("Input/output error") == 1
    assert found(again, [1] * 129).n_reused == 128


def refuse_all(*args: Any) -> Any:
    raise OSError(5, "Input/output error")


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(CacheFileError, match="only this user"):
        CacheFolder(tmp_path, BINDING, Sizes(PAGE_SIZE), PLENTY)
    (tmp_path / "file").touch()
    tmp_path.chmod(0o700)
    with pytest.raises(CacheFileError):
        CacheFolder(tmp_path / "file", BINDING, Sizes(PAGE_SIZE), PLENTY)


def test_a_folder_that_is_removed_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path / "folder")
    remember(cache, [1] * 9)
    (tmp_path / "folder" / BINDING.digest).rmdir()
    assert not cache.load_next([5] * 20)
    with caplog.at_level(logging.WARNING):
        cache.flush()
    assert "not kept" in caplog.text
