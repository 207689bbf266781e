"""Blocks taken apart and put back, against the gguf package."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.formats.small import Q8_0
from halfbyte.kernels.quantizers.grids import SUPPORTED, join_grids, read_grid, write_grid

N = 512


@pytest.fixture(params=SUPPORTED)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def random_rows(name: str) -> np.ndarray:
    """Rows of random bytes whose half-precision numbers are ordinary ones."""
    rng = np.random.default_rng(3)
    fmt = FORMATS[name]
    rows = rng.integers(0, 256, (5, fmt.row_nbytes(N)), np.uint8)
    blocks = rows.view(fmt.dtype)
    for field in {"d", "m", "dmin"} & set(fmt.dtype.names or ()):
        blocks[field] = rng.normal(size=blocks.shape)
    return rows


def dequantized(name: str, rows: np.ndarray) -> np.ndarray:
    return gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[name])


def test_a_grid_says_exactly_what_its_blocks_say(name: str) -> None:
    rows = random_rows(name)
    grid = read_grid(rows, FORMATS[name])
    assert (grid.weights() == dequantized(name, rows)).all()
    assert (write_grid(grid) == rows).all()


def test_new_codes_and_numbers_are_written(name: str) -> None:
    rows = random_rows(name)
    grid = read_grid(rows, FORMATS[name])
    rng = np.random.default_rng(4)
    grid.codes = rng.integers(0, grid.format.max_code + 1, grid.codes.shape).astype(np.uint8)
    grid.d *= 2
    grid.m *= 4
    written = write_grid(grid)
    assert (written != rows).any() and (rows == random_rows(name)).all()
    assert (dequantized(name, written) == grid.weights()).all()
    assert int(grid.codes.max()) == grid.format.max_code == 2 ** (5 if "5" in name else 4) - 1


def test_directions_are_what_the_weights_change_by(name: str) -> None:
    grid = read_grid(random_rows(name), FORMATS[name])
    size = grid.format.block_size
    before = grid.weights()
    a, b = grid.directions(1)
    grid.d[:, 1] += 0.5
    grid.m[:, 1] += 0.25
    expected = before.copy()
    expected[:, size : 2 * size] += 0.5 * a + (0.25 * b if grid.format.addend else 0)
    np.testing.assert_allclose(grid.weights(), expected, rtol=1e-5, atol=1e-3)


def test_parts_side_by_side_are_the_whole(name: str) -> None:
    rows, fmt = random_rows(name), FORMATS[name]
    half = fmt.row_nbytes(256)
    joined = join_grids([read_grid(rows[:, :half], fmt), read_grid(rows[:, half:], fmt)])
    assert (write_grid(joined) == rows).all()
    assert (joined.weights() == dequantized(name, rows)).all()


def test_other_types_have_no_grid() -> None:
    with pytest.raises(ValueError, match="Q4_0"):
        read_grid(np.zeros((1, 34), np.uint8), Q8_0)
