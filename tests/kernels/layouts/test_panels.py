"""Packing and row lookup against the `gguf` package's dequantize."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.packing import pack
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, ROWS, STRIP_ROWS, PanelFormat, n_panels
from halfbyte.kernels.pool import Pool
from tests.kernels.checked import CHECKED

Call = Callable[..., None]
FORMATS = CHECKED


def _random_rows(name: str, n_rows: int, n_inputs: int, seed: int) -> np.ndarray:
    """Bytes of a matrix in which every code occurs; scales and floats are finite."""
    rng = np.random.default_rng(seed)
    fmt = PANEL_FORMATS[name].source
    blocks = np.zeros((n_rows, n_inputs // fmt.block_size), fmt.dtype)
    raw = rng.integers(0, 256, (*blocks.shape, fmt.block_nbytes)).astype(np.uint8)
    blocks[:] = raw.view(fmt.dtype)[..., 0]
    for field in {"d", "m", "dmin", "w"} & set(fmt.dtype.names):
        x = rng.standard_normal(blocks.shape).astype(np.float32)
        blocks[field] = x.view(np.uint32) >> 16 if name == "BF16" else x
    if name == "IQ1_M":  # whose d lies in the highest bits of its scales
        blocks["scales"][..., 3] = blocks["scales"][..., 3] & 0xBFFF | 0x3000
    if fmt.is_power:
        blocks["e"] %= 250  # up to numbers that floats hold
    return np.ascontiguousarray(blocks).view(np.uint8).reshape(n_rows, -1)


def _packed(pool: Pool, rows: np.ndarray, fmt: PanelFormat, n_inputs: int) -> np.ndarray:
    out = np.full(fmt.nbytes(len(rows), n_inputs), 0xA5, np.uint8)
    pack(pool, rows, fmt, n_inputs, out)
    return out


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("n_rows, n_units", [(1, 1), (16, 3), (33, 2), (64, 1), (70, 5), (1030, 1)])
def test_lookup_of_packed_rows_is_dequantize(
    call: Call, pool: Pool, blocks: ModuleType, name: str, n_rows: int, n_units: int
) -> None:
    fmt = PANEL_FORMATS[name]
    n_inputs = fmt.source.block_size * n_units if fmt.is_quantized else 37 * n_units
    rows = _random_rows(name, n_rows, n_inputs, seed=n_rows)
    packed = _packed(pool, rows, fmt, n_inputs)
    expected = blocks.floats(name, rows)
    out = np.empty(n_inputs, np.float32)
    for row in {0, 1, 15, 16, 31, 32, n_rows // 2, n_rows - 1} & set(range(n_rows)):
        call(lookup_kernel(name), packed, n_panels(n_rows), fmt.n_units(n_inputs), row, out)
        assert (out == expected[row].reshape(-1)).all(), row


@pytest.mark.parametrize("name", FORMATS)
def test_padding_rows_are_zero(call: Call, pool2: Pool, name: str) -> None:
    fmt, n_inputs = PANEL_FORMATS[name], 256
    packed = _packed(pool2, _random_rows(name, 5, n_inputs, seed=1), fmt, n_inputs)
    out = np.empty(n_inputs, np.float32)
    for row in range(5, STRIP_ROWS):
        out[:] = 7
        call(lookup_kernel(name), packed, n_panels(5), fmt.n_units(n_inputs), row, out)
        assert (out == 0).all()


def test_blocks_lie_as_stated(pool2: Pool) -> None:
    fmt, rows = PANEL_FORMATS["Q4_1"], _random_rows("Q4_1", 32, 96, seed=2)
    blocks = rows.view(fmt.source.dtype)
    packed = _packed(pool2, rows, fmt, 96)
    codes, scales, minima = np.split(packed, [2 * 3 * 256, 2 * 3 * (256 + 32)])
    codes = codes.reshape(2, 3, 4, ROWS, 4)
    expected = blocks["qs"].reshape(2, ROWS, 3, 4, 4).transpose(0, 2, 3, 1, 4)
    assert (codes == expected).all()
    for part, field in ((scales, "d"), (minima, "m")):
        expected = blocks[field].reshape(2, ROWS, 3).transpose(0, 2, 1)
        assert (part.view(np.float16).reshape(2, 3, ROWS) == expected).all()


def test_a_read_only_matrix_is_packed(pool2: Pool) -> None:
    fmt, rows = PANEL_FORMATS["Q8_0"], _random_rows("Q8_0", 40, 64, seed=3)
    expected = _packed(pool2, rows, fmt, 64)
    rows.flags.writeable = False
    assert (_packed(pool2, rows, fmt, 64) == expected).all()


@pytest.mark.parametrize("name", FORMATS)
def test_sizes(name: str) -> None:
    fmt = PANEL_FORMATS[name]
    row_nbytes = fmt.source.row_nbytes(256)
    assert fmt.nbytes(33, 256) == 2 * fmt.nbytes(32, 256) - 64 * fmt.has_factor
    if fmt.source.plain:  # 3 or 4 bits for a code, or 2 for a digit
        plain_nbytes = 32 * (fmt.bits * 32 + 2 + 8 * fmt.n_subs * fmt.is_super)
        assert row_nbytes * 32 < fmt.nbytes(32, 256) == plain_nbytes
    elif fmt.has_factor:
        assert fmt.nbytes(32, 256) == 32 * row_nbytes + 64
    elif fmt.is_super:  # 6-bit scales have become bytes
        assert 32 * row_nbytes <= fmt.nbytes(32, 256) <= 1.05 * 32 * row_nbytes
    else:
        assert fmt.nbytes(32, 256) == 32 * row_nbytes
    assert [n_panels(n) for n in (1, 16, 32, 33, 64, 65)] == [2, 2, 2, 4, 4, 6]
    assert fmt.n_units(128) == (4 if fmt.is_quantized else 128)


@pytest.mark.parametrize(("name", "value"), [("Q4_0", np.inf), ("Q4_1", np.nan), ("MXFP4", 255)])
def test_what_is_no_number_is_refused(pool2: Pool, name: str, value: float) -> None:
    fmt, rows = PANEL_FORMATS[name], _random_rows(name, 40, 64, seed=8)
    rows.view(fmt.source.dtype)[fmt.source.number][33, 1] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        _packed(pool2, rows, fmt, 64)


def test_wrong_shapes_are_refused(pool2: Pool) -> None:
    fmt = PANEL_FORMATS["Q4_0"]
    rows = _random_rows("Q4_0", 33, 64, seed=4)
    out = np.empty(fmt.nbytes(33, 64), np.uint8)
    for bad_rows, n_inputs, bad_out in [
        (rows, 32, out),
        (rows, 65, out),  # no multiple of the block
        (rows[:, :-1], 64, out),
        (np.asfortranarray(rows), 64, out),
        (rows[::2], 64, np.empty(fmt.nbytes(17, 64), np.uint8)),
        (rows, 64, out[:-1]),
        (rows, 64, np.empty(2 * len(out), np.uint8)[::2]),
        (rows[:0], 64, out[:0]),  # nothing to do would be waited for without end
    ]:
        with pytest.raises(ValueError):
            pack(pool2, bad_rows, fmt, n_inputs, bad_out)
    pack(pool2, rows, fmt, 64, out)
