"""A model file's hash: right, computed once, and anew when the file is another."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ModelFileError
from halfbyte.generation import model_hash
from halfbyte.generation.model_hash import FilesHash, FileStamp, ModelHash

CONTENTS = os.urandom(100_000)
EXPECTED = hashlib.sha256(CONTENTS).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that has not changed for long."""
    path = tmp_path / "model.gguf"
    path.write_bytes(CONTENTS)
    os.utime(path, ns=(10**18, 10**18 + 7))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "hashes"


def hashed(path: Path, folder: Path) -> str | None:
    return ModelHash(FileStamp.of(path), folder).get(None)


def test_it_is_computed_once(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hashed(path, folder) == EXPECTED
    (record,) = folder.iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(model_hash, "_hash", lambda stamp: pytest.fail("read again"))
    assert ModelHash(FileStamp.of(path), folder).get() == EXPECTED
    link = path.with_name("link")
    link.symlink_to(path)
    assert ModelHash(FileStamp.of(link), folder).get() == EXPECTED


@pytest.mark.parametrize("what", ["time", "size", "inode"])
def test_another_file_has_its_own(path: Path, folder: Path, what: str) -> None:
    assert hashed(path, folder) == EXPECTED
    status = path.stat()
    if what == "inode":
        path.rename(path.with_name("old"))
    changed = CONTENTS[::-1] + (b"x" if what == "size" else b"")
    path.write_bytes(changed)
    time = status.st_mtime_ns + (what == "time")
    os.utime(path, ns=(time, time))
    assert hashed(path, folder) == hashlib.sha256(changed).hexdigest()


def test_a_file_that_changed_after_it_was_loaded_has_none(
    path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stamp = FileStamp.of(path)
    path.write_bytes(CONTENTS)
    assert ModelHash(stamp, folder).get(None) is None
    assert "not kept on disk" in caplog.text
    path.unlink()
    assert ModelHash(stamp, folder).get(None) is None
    with pytest.raises(ModelFileError):
        FileStamp.of(path)
    assert not folder.exists() or not list(folder.iterdir())


def test_a_file_of_this_moment_is_not_remembered(path: Path, folder: Path) -> None:
    path.write_bytes(CONTENTS)
    assert hashed(path, folder) == EXPECTED
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "record",
    [b"", b"[]", b"{", b"[" * 50_000, b"\xff", b'{"sha256": 1}', b'{"sha256": "00"}', b"17", None],
)
def test_a_damaged_record_is_made_anew(path: Path, folder: Path, record: bytes | None) -> None:
    hashed(path, folder)
    (file,) = folder.iterdir()
    if record is None:
        fields = json.loads(file.read_text())
        record = json.dumps(fields | {"sha256": "no digits" * 8}).encode()
    file.write_bytes(record)
    assert hashed(path, folder) == EXPECTED
    assert json.loads(file.read_text())["sha256"] == EXPECTED


def test_all_files_of_a_model_are_waited_for_together(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, may_end = list[Any](), threading.Event()

    def join(thread: threading.Thread, timeout: float | None) -> None:
        waits.append(timeout)
        time.sleep(timeout or 0)

    monkeypatch.setattr(model_hash, "join", join)
    monkeypatch.setattr(model_hash, "_hash", lambda stamp: may_end.wait(60) and EXPECTED)
    files = FilesHash([FileStamp.of(path)] * 3, folder)
    try:
        assert files.get(0.05) is None
        assert waits[0] > 0 and waits[1:] == [0, 0]
    finally:
        may_end.set()


def test_a_folder_that_cannot_be_used(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.INFO):
        assert hashed(path, tmp_path / "file") == EXPECTED
    assert "not remembered" in caplog.text


def test_without_a_thread_there_is_none(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert hashed(path, folder) is None
    assert "not kept on disk: can't start new thread" in caplog.text
