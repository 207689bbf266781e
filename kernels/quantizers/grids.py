"""Rows of blocks taken apart into codes and the numbers that give them a meaning, and put back.

    w = d * s * (q - offset) + m * t

q is the code, or the number of a table that it stands for. d and m are a block's half-precision
numbers (m is 0 where a type has none), s and t are whole numbers of a sub-block: 1 in the small
types; scale and minus the minimum in K types.
Calibration changes d, m and the codes, and leaves s and t as the quantizer chose them.

Source: ggml's dequantize_row_* in ggml-quants.c.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.formats.block_format import BlockFormat, Place, Plane
from halfbyte.lazy_dataclass import dataclass

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

SUPPORTED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "IQ4_NL", "IQ4_XS")
SUB_BLOCK = 32


@dataclass(slots=True)
class Grid:
    """Rows (R) of blocks (B a row) of sub-blocks (S a block, each of 32 inputs).

    Attributes:
        format: the tensor type.
        blocks: the blocks that were read, (R, B).
        d, m: float32 (R, B), every one of them a half-precision number.
        s, t: float32 (R, B, S).
        codes: uint8 (R, B * block size).
    """

    format: BlockFormat
    blocks: NDArray[np.void]
    d: F32
    m: F32
    s: F32
    t: F32
    codes: U8

    @property
    def levels(self) -> F32:
        """What each code stands for."""
        return np.array(self.format.table or range(self.format.max_code + 1), np.float32)

    def steps(self) -> F32:
        """Distance of neighbouring levels' weights, (R, B S)."""
        return (self.d[..., None] * self.s).reshape(len(self.d), -1)

    def offsets(self) -> F32:
        """The weight of level 0, (R, B S)."""
        zero = self.m[..., None] * self.t - self.d[..., None] * self.s * np.float32(
            self.format.offset
        )
        return zero.reshape(len(self.d), -1)

    def weights(self) -> F32:
        """The weights, (R, B * block size), exactly those of the blocks."""
        weights = self.levels[self.codes].reshape(len(self.d), -1, SUB_BLOCK)
        weights *= self.steps()[..., None]
        weights += self.offsets()[..., None]
        return weights.reshape(len(self.d), -1)

    def directions(self, i: int) -> tuple[F32, F32]:
        """What the weights of block i change by for each unit of d, and of m: (R, block size)."""
        size = self.format.block_size
        codes = self.levels[self.codes[:, i * size : (i + 1) * size]]
        s, t = (x[:, i].repeat(size // x.shape[-1], 1) for x in (self.s, self.t))
        return s * (codes - np.float32(self.format.offset)), t


def join_grids(grids: list[Grid]) -> Grid:
    """Rows in several parts, side by side, as one."""
    parts = {
        name: np.concatenate([getattr(grid, name) for grid in grids], 1)
        for name in ("blocks", "d", "m", "s", "t", "codes")
    }
    return Grid(format=grids[0].format, **parts)


def read_grid(data: U8, fmt: BlockFormat) -> Grid:
    """Take rows of bytes, (R, row bytes), apart.

    Raises:
        ValueError: a type that is not in SUPPORTED.
    """
    if fmt.name not in SUPPORTED:
        raise ValueError(f"{fmt.name}: expected one of {', '.join(SUPPORTED)}")
    blocks = np.ascontiguousarray(data).view(fmt.dtype).copy()
    d = blocks["d"].astype(np.float32)
    m = blocks[fmt.addend].astype(np.float32) if fmt.addend else np.zeros_like(d)
    if fmt.scales:
        s = _read_integers(blocks, fmt, fmt.scales.scale_at) - np.float32(fmt.scales.offset)
        minimum_at = fmt.scales.minimum_at
        t = np.zeros_like(s) if minimum_at is None else -_read_integers(blocks, fmt, minimum_at)
    else:
        s = np.ones((*blocks.shape, 1), np.float32)
        t = s if fmt.addend else np.zeros_like(s)
    return Grid(fmt, blocks, d, m, s, t, _read_codes(blocks, fmt).reshape(len(blocks), -1))


def write_grid(grid: Grid) -> U8:
    """The bytes of rows, (R, row bytes)."""
    blocks = grid.blocks.copy()
    blocks["d"] = grid.d
    if grid.format.addend:
        blocks[grid.format.addend] = grid.m
    _write_codes(grid.codes.reshape(*blocks.shape, -1), blocks, grid.format)
    return blocks.view(np.uint8).reshape(len(blocks), -1)


def _read_integers(blocks: NDArray[np.void], fmt: BlockFormat, at: Callable[[int], Place]) -> F32:
    """The integers of sub-blocks, (R, B, S)."""
    assert fmt.scales is not None
    packed, low_bits, high_bits = blocks["scales"], fmt.scales.low, fmt.scales.high
    found = []
    for low_byte, low_shift, high_byte, high_shift in map(at, range(fmt.block_size // SUB_BLOCK)):
        low = packed[..., low_byte] >> low_shift & (1 << low_bits) - 1
        high = packed[..., high_byte] >> high_shift & (1 << high_bits) - 1
        found.append(low | high << low_bits)
    return np.stack(found, -1).astype(np.float32)


def _shifts(plane: Plane) -> U8:
    return np.arange(0, 8, plane.bits, dtype=np.uint8)[:, None]


def _read_codes(blocks: NDArray[np.void], fmt: BlockFormat) -> U8:
    codes, n_bits = np.zeros((*blocks.shape, fmt.block_size), np.uint8), 0
    for plane in fmt.planes:
        raw = np.ascontiguousarray(blocks[plane.field]).view(np.uint8)
        runs = raw.reshape(*blocks.shape, -1, 1, plane.run)
        bits = runs >> _shifts(plane) & (1 << plane.bits) - 1
        codes |= bits.reshape(codes.shape) << n_bits
        n_bits += plane.bits
    return codes


def _write_codes(codes: U8, blocks: NDArray[np.void], fmt: BlockFormat) -> None:
    for plane in fmt.planes:
        bits = (codes & (1 << plane.bits) - 1).reshape(
            *blocks.shape, -1, 8 // plane.bits, plane.run
        )
        runs = np.bitwise_or.reduce(bits << _shifts(plane), -2)
        field = blocks[plane.field]
        field[:] = runs.reshape(*blocks.shape, -1).view(field.dtype).reshape(field.shape)
        codes = codes >> np.uint8(plane.bits)
