"""Reading files that change, and things that are no files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from halfbyte.errors import ConversionError, MissingFileError, ModelFileError
from halfbyte.files.file_reader import FileReader


def test_any_part_of_a_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    (tmp_path / "x").write_bytes(data)
    file = FileReader(tmp_path / "x")
    assert file.nbytes == len(data)
    for begin, end in ((0, len(data)), (5, 5), (300, 9000), (len(data) - 1, len(data))):
        file.prefetch(begin, end)
        file.let_go(begin, end)
        assert file.read(begin, end).tobytes() == data[begin:end]
    file.close()


def test_a_system_without_preadv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv", raising=False)
    (tmp_path / "x").write_bytes(b"0123456789")
    assert FileReader(tmp_path / "x").read(3, 7).tobytes() == b"3456"


def test_a_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(10_000))
    file = FileReader(path, ConversionError)
    os.truncate(path, 100)
    with pytest.raises(ConversionError, match="cut short") as caught:
        file.read(50, 9000)
    assert caught.value.path == str(path)
    assert file.read(50, 100).tobytes() == bytes(50)


def test_a_closed_file_is_no_other(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * 10)
    file = FileReader(tmp_path / "a")
    file.close()
    other = FileReader(tmp_path / "b")  # which gets the same number from the system
    with pytest.raises(ModelFileError, match="expected to read it"):
        file.read(0, 10)
    assert other.read(0, 2).tobytes() == b"bb"


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, said in (
        ("absent", "got"), (".", "got a folder"), ("pipe", "got a pipe"), ("a\0b", "got embedded"),
    ):  # fmt: skip
        for error in (ModelFileError, ConversionError):
            with pytest.raises(error, match=said):
                FileReader(tmp_path / name, error)
    with pytest.raises(MissingFileError):
        FileReader(tmp_path / "absent")
