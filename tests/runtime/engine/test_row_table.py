"""A table that stays in its file: rows of every kind of type, and a file that is cut short."""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import numpy as np
import pytest

from halfbyte.engine.row_table import RowTable
from halfbyte.errors import EngineError
from halfbyte.gguf.file import GGUFFile

N, WIDTH = 50, 64


def _write(path: Path, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal((N, WIDTH), np.float32)
    raw = gguf.quants.quantize(x, kind)
    writer = gguf.GGUFWriter(path, "gemma4")
    writer.add_tensor("before", np.zeros(4, np.float32))
    writer.add_tensor("table.weight", raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return gguf.quants.dequantize(raw, kind)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
def test_rows_are_those_of_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.gguf"
    expected = _write(path, gguf.GGMLQuantizationType[kind])
    with GGUFFile.open(path) as file:
        table = RowTable(file, "table.weight")
    assert (table.n_rows, table.width) == (N, WIDTH)
    out = np.full((4, WIDTH + 32), 7, np.float32)  # the file is closed: the table has it open
    table.read_into(out, [3, 49, 3, 0])
    assert (out[:, :WIDTH] == expected[[3, 49, 3, 0]]).all() and (out[:, WIDTH:] == 7).all()


def test_a_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t.gguf"
    _write(path, gguf.GGMLQuantizationType.F32)
    with GGUFFile.open(path) as file:
        table = RowTable(file, "table.weight")
    os.truncate(path, path.stat().st_size - 4 * WIDTH)
    out = np.empty((1, WIDTH), np.float32)
    table.read_into(out, [0])
    with pytest.raises(EngineError, match="cut short"):
        table.read_into(out, [N - 1])


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
def test_a_number_that_is_none_is_an_error(tmp_path: Path, kind: str) -> None:
    """Nobody has looked at the table before: what it says of one token is told when that comes."""
    path = tmp_path / "t.gguf"
    _write(path, gguf.GGMLQuantizationType[kind])
    with GGUFFile.open(path) as file:
        info, table = file.tensors["table.weight"], RowTable(file, "table.weight")
        begin, row_nbytes = info.offset, info.nbytes // N
    with path.open("r+b") as data:
        data.seek(begin + 7 * row_nbytes)
        data.write(np.float16(np.nan).tobytes())  # a weight, or a block's scale
    out = np.full((2, WIDTH), 7, np.float32)
    table.read_into(out, [6, 8])
    with pytest.raises(EngineError, match=r"table\.weight, row 7: NaN or infinity"):
        table.read_into(out, [6, 7])
