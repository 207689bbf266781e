"""Pieces of tensors are their bytes, in order, however long they are."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import gguf
import numpy as np
import pytest

from halfbyte.errors import ModelFileError
from halfbyte.gguf import read_ahead as module
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.read_ahead import Piece, pieces, read_ahead


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    rng = np.random.default_rng(1)
    for i, n in enumerate((1, 999, 1000, 1001, 5003)):
        writer.add_tensor(f"t{i}", rng.integers(-99, 99, n).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_pieces_are_the_tensors(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_NBYTES", 1000)
    with GGUFFile.open(path) as file:
        wanted = [piece for info in file.tensors.values() for piece in pieces(info)]
        found = {name: b"" for name in file.tensors}
        for piece, data in read_ahead(wanted):
            assert len(data) == piece.end - piece.begin <= 1000
            found[piece.tensor.name] += data.tobytes()
        assert found == {name: file.data(name).tobytes() for name in file.tensors}


def test_any_pieces_in_any_order(path: Path) -> None:
    rng = np.random.default_rng(2)
    with GGUFFile.open(path) as file:
        info = file.tensors["t4"]
        whole = file.data("t4").tobytes()
        cuts = [sorted(rng.integers(0, info.nbytes, 2).tolist()) for _ in range(200)]
        wanted = [Piece(info, begin, end) for begin, end in cuts]
        for piece, data in read_ahead(wanted):
            assert data.tobytes() == whole[piece.begin : piece.end]


def test_without_a_thread_pieces_are_read_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE_NBYTES", 1000)

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with GGUFFile.open(path) as file:
        whole = file.data("t4").tobytes()
        monkeypatch.setattr(threading.Thread, "start", refused)
        reading = read_ahead(pieces(file.tensors["t4"]))
        assert b"".join(data.tobytes() for _, data in reading) == whole


def test_a_file_that_is_cut_short_ends_the_reading(path: Path) -> None:
    before = threading.active_count()
    with GGUFFile.open(path) as file:
        wanted = [Piece(file.tensors["t4"], i, i + 100) for i in range(0, 20_000, 100)]
        reading = read_ahead(wanted)
        next(reading)
        os.truncate(path, file.tensors["t4"].offset + 10_000)
        with pytest.raises(ModelFileError, match="cut short") as caught:
            for _ in reading:
                pass
    assert caught.value.path == str(path)
    assert threading.active_count() == before
