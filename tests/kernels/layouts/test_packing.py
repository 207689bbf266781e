"""Matrices read from a file and packed by several threads, against the same rows in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.layouts import packing as module
from halfbyte.kernels.layouts.packing import Packing, pack, pack_all
from halfbyte.kernels.layouts.panel_packing import NOT_FINITE, NOT_READ
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, PanelFormat
from halfbyte.kernels.pool import Pool

N_INPUTS, BEGIN = 256, 77
U8 = np.ndarray


class _File:
    """Rows of every format behind one another in a file."""

    def __init__(self, path: Path) -> None:
        self._path, self._bytes = path, b"." * BEGIN
        path.write_bytes(self._bytes)
        self.descriptor = os.open(path, os.O_RDONLY)

    def put(self, rows: U8) -> int:
        """Where they begin."""
        at = len(self._bytes)
        self._bytes += rows.tobytes()
        self._path.write_bytes(self._bytes)
        return at

    def cut(self, nbytes: int) -> None:
        """Leave out the last ones."""
        os.truncate(self._path, len(self._bytes) - nbytes)

    def read(self, begin: int, end: int) -> U8:
        """As a file's reader does."""
        return np.fromfile(self._path, np.uint8)[begin:end]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[_File]:
    made = _File(tmp_path / "rows")
    yield made
    os.close(made.descriptor)


@pytest.fixture(params=["whole", "in pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in pieces":
        monkeypatch.setattr(module, "STEP_NBYTES", 1)
        monkeypatch.setattr(module, "CHUNK_NBYTES", 3)


def _rows(blocks: ModuleType, name: str, n: int, seed: int = 0) -> U8:
    if name not in ("F32", "F16", "BF16"):
        return np.array(blocks.random_rows(np.random.default_rng(seed), name, n, N_INPUTS))
    dtype = np.float32 if name == "F32" else np.float16
    floats = np.random.default_rng(seed).standard_normal((n, N_INPUTS)).astype(dtype)
    return floats.view(np.uint8)


def _packed(pool: Pool, rows: U8, fmt: PanelFormat, factor: float = 1.0) -> U8:
    out = _room(fmt, len(rows))
    pack(pool, np.ascontiguousarray(rows), fmt, N_INPUTS, out, factor)
    return out


def _room(fmt: PanelFormat, n_rows: int, n: int = 1) -> U8:
    return np.full(n * fmt.nbytes(n_rows, N_INPUTS), 0xA5, np.uint8)


@pytest.mark.usefixtures("pieces")
def test_what_a_file_has_is_packed_as_what_is_in_memory(
    file: _File, pool2: Pool, blocks: ModuleType
) -> None:
    """All formats at once: of some a matrix, of others several with rows of others between."""
    packings, expected = [], []
    for i, (name, fmt) in enumerate(PANEL_FORMATS.items()):
        n_rows, n = 37 + 32 * (i % 4), 1 + i % 3
        stride = n_rows + i % 5
        rows, out = _rows(blocks, name, n * stride, seed=i), _room(fmt, n_rows, n)
        factors = np.arange(1, n + 1, dtype=np.float32)
        packings.append(Packing(fmt, n_rows, N_INPUTS, out, file.put(rows), file.descriptor,
                                stride, factors))  # fmt: skip
        parts = (rows[stride * j : stride * j + n_rows] for j in range(n))
        expected.append([_packed(pool2, one, fmt, j) for j, one in enumerate(parts, 1)])
    assert pack_all(pool2, packings) == [0] * len(packings)
    for packing, wanted in zip(packings, expected, strict=True):
        assert (packing.out == np.concatenate(wanted)).all(), packing.fmt.name


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("kind", ["halves of heads", "in turn", "anywhere"])
def test_rows_in_another_order(file: _File, pool2: Pool, blocks: ModuleType, kind: str) -> None:
    fmt, n_rows = PANEL_FORMATS["Q8_0"], 288
    rows = _rows(blocks, "Q8_0", 2 * n_rows)
    order = {
        "halves of heads": np.arange(n_rows).reshape(-1, 2, 24).swapaxes(1, 2),
        "in turn": np.arange(2 * n_rows).reshape(-1, 2, 32)[:, 1],
        "anywhere": np.random.default_rng(1).permutation(2 * n_rows)[:n_rows],
    }[kind].reshape(-1)
    at, out = file.put(rows), _room(fmt, n_rows)
    packing = Packing(fmt, n_rows, N_INPUTS, out, at, file.descriptor, order=order)
    expected = _packed(pool2, rows[order], fmt)
    assert pack_all(pool2, [packing]) == [0] and (out == expected).all()
    out[:] = 0xA5
    parts = list[int]()
    for part in packing.read_first(file.read):
        parts += pack_all(pool2, [part])
    assert not any(parts) and (out == expected).all()


def test_no_row_is_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as a read takes no more than a head's rows, or the kind's that stand there."""
    monkeypatch.setattr(module, "STEP_NBYTES", 1)
    for d, n_kinds in ((64, 1), (80, 1), (128, 2)):
        order = np.arange(n_kinds * d * 10).reshape(10, n_kinds, 2, d // 2)[:, 0].swapaxes(1, 2)
        order = np.ascontiguousarray(order.reshape(-1))
        fmt = PANEL_FORMATS["Q8_0"]
        packing = Packing(fmt, len(order), N_INPUTS, _room(fmt, len(order)), 0, order=order)
        step, chunk = packing.steps()
        assert step % 32 == 0 and chunk % step == 0 and step <= 5 * d
        spans = [packing.span(i, min(i + step, len(order))) for i in range(0, len(order), step)]
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


@pytest.mark.usefixtures("pieces")
def test_what_is_wrong_is_said_of_each(file: _File, pool2: Pool, blocks: ModuleType) -> None:
    fmt = PANEL_FORMATS["Q4_0"]
    rows = [_rows(blocks, "Q4_0", 160, seed=i) for i in range(3)]
    rows[1].view(fmt.source.dtype)["d"][150, 3] = np.inf
    packings = [Packing(fmt, 160, N_INPUTS, _room(fmt, 160), file.put(one), file.descriptor)
                for one in rows]  # fmt: skip
    assert pack_all(pool2, packings) == [0, NOT_FINITE, 0]
    file.cut(1)
    assert pack_all(pool2, packings) == [0, NOT_FINITE, NOT_READ]
    assert (packings[0].out == _packed(pool2, rows[0], fmt)).all()


@pytest.mark.usefixtures("pieces")
def test_where_the_system_cannot_read_so_somebody_else_does(
    file: _File, pool2: Pool, blocks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_read_address", lambda: module._NO_READ)
    fmt, factors = PANEL_FORMATS["NVFP4"], np.array([2, 3], np.float32)
    rows, out = _rows(blocks, "NVFP4", 2 * 70), _room(fmt, 70, 2)
    packing = Packing(fmt, 70, N_INPUTS, out, file.put(rows), file.descriptor, 70, factors)
    assert pack_all(pool2, [packing]) == [NOT_READ]
    for part in packing.read_first(file.read):
        assert pack_all(pool2, [part]) == [0]
    assert (out == np.concatenate([_packed(pool2, rows[:70], fmt, 2),
                                   _packed(pool2, rows[70:], fmt, 3)])).all()  # fmt: skip


def test_a_factor_that_is_no_number_is_refused(pool2: Pool, blocks: ModuleType) -> None:
    fmt = PANEL_FORMATS["NVFP4"]
    with pytest.raises(ValueError, match="NaN or infinite"):
        _packed(pool2, _rows(blocks, "NVFP4", 32), fmt, np.nan)
