"""Tensors in pieces and in any order: the same file, and a checksum that is the file's."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from halfbyte.conversion import convert
from halfbyte.converting import encode
from halfbyte.converting.writer import Planned, Writer
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.quality.figures import tensors_sha256

PLAN = (
    Planned("a", (3, 64), FORMATS["Q8_0"]),
    Planned("b", (5,), FORMATS["F32"]),
    Planned("c", (4, 32), FORMATS["F16"]),
)
BYTES = {p.name: np.arange(p.nbytes, dtype=np.uint8) + i for i, p in enumerate(PLAN)}


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    meta = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer = Writer(tmp_path / "x.gguf", meta, PLAN)
    yield writer
    writer.close()


def pieces(data: np.ndarray, n: int) -> list[np.ndarray]:
    return [data[begin : begin + n] for begin in range(0, len(data), n)]


@pytest.mark.parametrize(("order", "n"), [("abc", 1000), ("abc", 7), ("cab", 7), ("acb", 1000)])
def test_tensors_come_in_pieces(writer: Writer, tmp_path: Path, order: str, n: int) -> None:
    for name in order:
        for piece in pieces(BYTES[name], n):
            writer.write(name, piece)
    writer.check_complete()
    writer.close()
    for tensor in gguf.GGUFReader(tmp_path / "x.gguf").tensors:
        assert tensor.data.view(np.uint8).tobytes() == BYTES[tensor.name].tobytes()
    with GGUFFile.open(tmp_path / "x.gguf") as file:
        assert writer.sha256 == (tensors_sha256(file) if order == "abc" else None)


def test_what_does_not_fit_is_a_mistake(writer: Writer) -> None:
    writer.write("a", BYTES["a"][:10])
    with pytest.raises(ValueError, match="a: 204 bytes for a place of 194"):
        writer.write("a", BYTES["a"])
    with pytest.raises(ValueError, match="tensors without bytes: a, b, c"):
        writer.check_complete()


@pytest.mark.parametrize("threads", [1, 3])
def test_pieces_and_threads_make_no_difference(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    convert(tiny_folder, tmp_path / "whole.gguf", type="q4_1", measure=False, threads=1)
    monkeypatch.setattr(encode, "_PIECE_WEIGHTS", 64 * 7)
    monkeypatch.setattr(encode, "_SHARE_WEIGHTS", 64 * 3)
    convert(tiny_folder, tmp_path / "parts.gguf", type="q4_1", measure=False, threads=threads)
    whole, parts = ((tmp_path / f"{name}.gguf").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_a_head_that_cannot_be_written_leaves_no_open_file(tmp_path: Path) -> None:
    meta = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    meta.add_key_value("general.name", object(), gguf.GGUFValueType.UINT32)
    with pytest.raises(struct.error):
        Writer(tmp_path / "x.gguf", meta, [])
    assert meta.fout is None
