"""Rows of blocks taken apart into codes and the numbers that give them a meaning, and put back.

    w = d * s * (q - centre) + m * t

q is the code. d and m are a block's half-precision numbers (m is 0 where a type has none), s and t
are whole numbers of a sub-block: 1 in the small types; scale and minus the minimum in K types.
Calibration changes d, m and the codes, and leaves s and t as the quantizer chose them.

Source: ggml's dequantize_row_* in ggml-quants.c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.formats.block_format import BlockFormat

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_CENTRE = {"Q4_0": 8, "Q4_1": 0, "Q5_0": 16, "Q5_1": 0, "Q4_K": 0, "Q5_K": 0}
SUPPORTED = tuple(_CENTRE)
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
    def centre(self) -> int:
        """The code that stands for zero, or for the minimum."""
        return _CENTRE[self.format.name]

    @property
    def max_code(self) -> int:
        """The largest code."""
        return 31 if self.format.name.startswith("Q5") else 15

    @property
    def has_minimum(self) -> bool:
        """Whether m is part of the type."""
        return self.centre == 0

    def steps(self) -> F32:
        """Distance of neighbouring codes' weights, (R, B S)."""
        return (self.d[..., None] * self.s).reshape(len(self.d), -1)

    def offsets(self) -> F32:
        """The weight of code 0, (R, B S)."""
        zero = self.m[..., None] * self.t - self.d[..., None] * self.s * np.float32(self.centre)
        return zero.reshape(len(self.d), -1)

    def weights(self) -> F32:
        """The weights, (R, B * block size), exactly those of the blocks."""
        codes = self.codes.reshape(len(self.d), -1, SUB_BLOCK).astype(np.float32)
        codes *= self.steps()[..., None]
        codes += self.offsets()[..., None]
        return codes.reshape(len(self.d), -1)

    def directions(self, i: int) -> tuple[F32, F32]:
        """What the weights of block i change by for each unit of d, and of m: (R, block size)."""
        size = self.format.block_size
        codes = self.codes[:, i * size : (i + 1) * size].astype(np.float32)
        s, t = (x[:, i].repeat(size // x.shape[-1], 1) for x in (self.s, self.t))
        return s * (codes - np.float32(self.centre)), t


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
    n_rows, n_blocks = blocks.shape
    d = blocks["d"].astype(np.float32)
    if fmt.name in ("Q4_K", "Q5_K"):
        s, minimum = _read_scales(blocks["scales"])
        m, t = blocks["dmin"].astype(np.float32), -minimum
    else:
        s = np.ones((n_rows, n_blocks, 1), np.float32)
        has_minimum = _CENTRE[fmt.name] == 0
        m = blocks["m"].astype(np.float32) if has_minimum else np.zeros_like(d)
        t = s if has_minimum else np.zeros_like(s)
    return Grid(fmt, blocks, d, m, s, t, _read_codes(blocks, fmt).reshape(n_rows, -1))


def write_grid(grid: Grid) -> U8:
    """The bytes of rows, (R, row bytes)."""
    blocks = grid.blocks.copy()
    blocks["d"] = grid.d
    if grid.has_minimum:
        blocks["dmin" if "dmin" in (blocks.dtype.names or ()) else "m"] = grid.m
    _write_codes(grid.codes.reshape(*blocks.shape, -1), blocks, grid.format)
    return blocks.view(np.uint8).reshape(len(blocks), -1)


def _read_scales(packed: U8) -> tuple[F32, F32]:
    """Scales and minima of a K block: 6 bits each, in 12 bytes."""
    a, b, c = packed[..., :4], packed[..., 4:8], packed[..., 8:]
    scales = np.concatenate([a & 63, c & 15 | a >> 6 << 4], -1)
    minima = np.concatenate([b & 63, c >> 4 | b >> 6 << 4], -1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _halves(fmt: BlockFormat) -> tuple[int, int]:
    """A block's low nibbles hold this many times this many inputs; the high ones the next."""
    return (4, 32) if fmt.block_size == 256 else (1, 16)


def _read_codes(blocks: NDArray[np.void], fmt: BlockFormat) -> U8:
    qs = blocks["qs"].reshape(*blocks.shape, *_halves(fmt))
    codes = np.stack([qs & 15, qs >> 4], -2).reshape(*blocks.shape, -1)
    if fmt.name == "Q5_K":  # bit i of byte j belongs to input 32 i + j
        bits = np.unpackbits(blocks["qh"][..., None], axis=-1, bitorder="little").swapaxes(-1, -2)
        codes |= bits.reshape(codes.shape) << 4
    elif "qh" in (fmt.dtype.names or ()):  # bit k of a word belongs to input k
        word = np.ascontiguousarray(blocks["qh"])[..., None].view(np.uint8)
        codes |= np.unpackbits(word, axis=-1, bitorder="little") << 4
    return codes


def _write_codes(codes: U8, blocks: NDArray[np.void], fmt: BlockFormat) -> None:
    n, width = _halves(fmt)
    nibbles = (codes & 15).reshape(*blocks.shape, n, 2, width)
    blocks["qs"] = (nibbles[..., 0, :] | nibbles[..., 1, :] << 4).reshape(blocks["qs"].shape)
    high = codes >> 4
    if fmt.name == "Q5_K":
        bits = high.reshape(*blocks.shape, 8, 32).swapaxes(-1, -2)
        blocks["qh"] = np.packbits(bits, axis=-1, bitorder="little")[..., 0]
    elif "qh" in (fmt.dtype.names or ()):
        packed = np.packbits(high, axis=-1, bitorder="little")
        blocks["qh"] = packed.view("<u4")[..., 0]
