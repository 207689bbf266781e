"""Packed panels: how weight matrices lie in memory while they are used.

A panel is 16 rows (outputs), interleaved so that the 16 lanes of a vector are 16 rows. Then no
sum crosses lanes, an activation is broadcast to all lanes, and memory is read front to back.
Matrices are padded with zero rows to an even number of panels; two panels make a strip, the unit
that work is dealt in. For a matrix of K inputs:

    4 bits   codes [panel][K / 32][4][16 rows][4 bytes]    byte i of group j: input 4j + i in the
             scales [panel][K / 32][16 rows] half          low nibble, 16 + 4j + i in the high one
             minima likewise (Q4_1)
    8 bits   codes [panel][K / 32][8][16 rows][4 bytes]    byte i of group j: input 4j + i
             scales as above
    floats   [panel][K][16 rows]

A Q4_0 or Q8_0 block holds its codes in the same order within a row, so packing is a transposition
of 32-bit words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .atomics import atomic_put
from .formats import FORMATS, BlockFormat
from .jit import Kernel
from .pool import Pool, finish, is_current, share, take
from .simd import (
    get_f16,
    get_f32,
    get_i32,
    get_i64,
    get_u8,
    get_u16,
    put_f32,
    put_i32,
    put_u16,
)

ROWS = 16
STRIP_ROWS = 32
UNIT = 32  # inputs per block
_BAD_AT = 40  # where a pack job's arguments tell that a number was NaN or infinite
_F16_SPECIAL = np.uint16(0x7C00)  # the exponent bits of NaN and infinity


@dataclass(frozen=True, slots=True)
class PanelFormat:
    """The packed form of a block format. `bits` per code (0: floats), `offset` taken from each."""

    source: BlockFormat
    bits: int
    offset: int
    has_minima: bool

    @property
    def name(self) -> str:
        """The block format's name."""
        return self.source.name

    @property
    def is_quantized(self) -> bool:
        """Whether the product takes int8 activations."""
        return self.bits > 0

    def n_units(self, n_inputs: int) -> int:
        """How many blocks (or single inputs, for floats) a row has."""
        return n_inputs // UNIT if self.is_quantized else n_inputs

    def nbytes(self, n_rows: int, n_inputs: int) -> int:
        """Bytes of a packed matrix."""
        panel = ROWS * self.source.row_nbytes(n_inputs)
        return n_panels(n_rows) * panel


def _panel_format(name: str, bits: int, offset: int = 0, has_minima: bool = False) -> PanelFormat:
    return PanelFormat(FORMATS[name], bits, offset, has_minima)


PANEL_FORMATS: dict[str, PanelFormat] = {
    "F32": _panel_format("F32", 0),
    "F16": _panel_format("F16", 0),
    "BF16": _panel_format("BF16", 0),
    "Q4_0": _panel_format("Q4_0", 4, offset=8),
    "Q4_1": _panel_format("Q4_1", 4, has_minima=True),
    "Q8_0": _panel_format("Q8_0", 8),
}


def n_panels(n_rows: int) -> int:
    """Panels of a matrix, padding included: an even number."""
    return -(-n_rows // STRIP_ROWS) * 2


def pack(
    pool: Pool, rows: NDArray[np.uint8], fmt: PanelFormat, n_inputs: int, out: NDArray[np.uint8]
) -> None:
    """Pack a matrix given as its bytes in the file.

    Args:
        pool: threads that do the work.
        rows: uint8 (n_rows, row bytes), C-contiguous, in the block format `fmt.source`.
        fmt: what to pack into.
        n_inputs: logical row length.
        out: uint8, `fmt.nbytes(n_rows, n_inputs)` bytes, overwritten.

    Raises:
        ValueError: a shape or layout is not as stated, or a number is NaN or infinite.
    """
    n_rows, nbytes = rows.shape
    if n_rows == 0:
        raise ValueError("pack: a matrix without rows")
    if nbytes != fmt.source.row_nbytes(n_inputs) or not rows.flags.c_contiguous:
        raise ValueError(f"pack: rows of {nbytes} bytes are not {n_inputs} inputs of {fmt.name}")
    if out.nbytes != fmt.nbytes(n_rows, n_inputs) or not out.flags.c_contiguous:
        raise ValueError(f"pack: {out.nbytes} bytes do not hold {n_rows} x {n_inputs} {fmt.name}")
    args = np.array(
        [rows.ctypes.data, n_rows, fmt.n_units(n_inputs), out.ctypes.data, n_panels(n_rows), 0],
        np.int64,
    )
    pool.run(pack_kernel(fmt.name), int(args.ctypes.data))
    if args[_BAD_AT // 8]:
        raise ValueError("NaN or infinite numbers")


@cache
def pack_kernel(name: str) -> Kernel:
    """The job that packs a format: (pool, first stage, args, thread)."""
    fmt = PANEL_FORMATS[name]
    if not fmt.is_quantized:
        special = {"F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}[name]
        return Kernel(_pack_floats(fmt.source.block_nbytes, special), 4, f"pack_{name}")
    at = {k: int(v[1]) for k, v in (fmt.source.dtype.fields or {}).items()}
    function = _pack_blocks(fmt.bits, fmt.source.block_nbytes, at["d"], at["qs"], at.get("m", -1))
    return Kernel(function, 4, f"pack_{name}")


@cache
def lookup_kernel(name: str) -> Kernel:
    """The function that unpacks one row: (w, n_panels, n_units, row, out floats)."""
    fmt = PANEL_FORMATS[name]
    if fmt.is_quantized:
        function = _lookup_blocks(fmt.bits, fmt.offset, fmt.has_minima)
    else:
        function = {"F32": _lookup_f32, "F16": _lookup_f16, "BF16": _lookup_bf16}[name]
    return Kernel(function, 5, f"lookup_{name}")


def _pack_blocks(BITS: int, NBYTES: int, D_AT: int, QS_AT: int, M_AT: int) -> Callable[..., None]:
    WORDS = BITS  # 32-bit words of codes in a block of 32

    def run(pool, first, args, thread):
        src, n_rows, n_units = get_i64(args), get_i64(args + 8), get_i64(args + 16)
        dst, n_panels = get_i64(args + 24), get_i64(args + 32)
        if not is_current(pool, first):
            return
        scales = dst + n_panels * n_units * WORDS * 64
        minima = scales + n_panels * n_units * 32
        n_chunks = min(n_panels, 1024)
        chunk = take(pool, first, n_chunks)
        while chunk >= 0:
            for panel in range(
                share(chunk, n_chunks, n_panels), share(chunk + 1, n_chunks, n_panels)
            ):
                for unit in range(n_units):
                    block = panel * n_units + unit
                    for r in range(16):
                        row = panel * 16 + r
                        inside = row < n_rows
                        source = src + ((row if inside else 0) * n_units + unit) * NBYTES
                        scale = get_u16(source + D_AT)
                        if scale & _F16_SPECIAL == _F16_SPECIAL:
                            atomic_put(args + _BAD_AT, 1)
                        put_u16(scales + block * 32 + 2 * r, scale if inside else np.uint16(0))
                        if M_AT >= 0:
                            m = get_u16(source + M_AT)
                            if m & _F16_SPECIAL == _F16_SPECIAL:
                                atomic_put(args + _BAD_AT, 1)
                            put_u16(minima + block * 32 + 2 * r, m if inside else np.uint16(0))
                        for j in range(WORDS):
                            word = get_i32(source + QS_AT + 4 * j)
                            put_i32(dst + (block * WORDS + j) * 64 + 4 * r, word)
            finish(pool, first, n_chunks)
            chunk = take(pool, first, n_chunks)

    return run


def _pack_floats(SIZE: int, SPECIAL: int) -> Callable[..., None]:
    def run(pool, first, args, thread):
        src, n_rows, n_units = get_i64(args), get_i64(args + 8), get_i64(args + 16)
        dst, n_panels = get_i64(args + 24), get_i64(args + 32)
        if not is_current(pool, first):
            return
        n_chunks = min(n_panels, 1024)
        chunk = take(pool, first, n_chunks)
        while chunk >= 0:
            for panel in range(
                share(chunk, n_chunks, n_panels), share(chunk + 1, n_chunks, n_panels)
            ):
                for r in range(16):
                    row = panel * 16 + r
                    inside = row < n_rows
                    for k in range(n_units):
                        source = src + ((row if inside else 0) * n_units + k) * SIZE
                        to = dst + ((panel * n_units + k) * 16 + r) * SIZE
                        if SIZE == 4:
                            bits = np.int64(get_i32(source))
                            put_i32(to, np.int32(bits) if inside else np.int32(0))
                        else:
                            bits = np.int64(get_u16(source))
                            put_u16(to, np.uint16(bits) if inside else np.uint16(0))
                        if bits & SPECIAL == SPECIAL:
                            atomic_put(args + _BAD_AT, 1)
            finish(pool, first, n_chunks)
            chunk = take(pool, first, n_chunks)

    return run


def _lookup_blocks(BITS: int, OFFSET: int, HAS_MINIMA: bool) -> Callable[..., None]:
    def lookup(w, n_panels, n_units, row, out):
        panel, lane = row // 16, row % 16
        scales = w + n_panels * n_units * BITS * 64
        minima = scales + n_panels * n_units * 32
        for unit in range(n_units):
            block = panel * n_units + unit
            codes = w + block * BITS * 64 + 4 * lane
            d = get_f16(scales + block * 32 + 2 * lane)
            for k in range(32):
                if BITS == 4:
                    byte = get_u8(codes + k % 16 // 4 * 64 + k % 4)
                    code = np.int32(byte & 15) if k < 16 else np.int32(byte >> 4)
                else:
                    code = np.int32(np.int8(get_u8(codes + k // 4 * 64 + k % 4)))
                value = d * np.float32(code - np.int32(OFFSET))
                if HAS_MINIMA:
                    value += get_f16(minima + block * 32 + 2 * lane)
                put_f32(out + 4 * (32 * unit + k), value)

    return lookup


def _lookup_f32(w, n_panels, n_units, row, out):
    for k in range(n_units):
        put_f32(out + 4 * k, get_f32(w + 4 * ((row // 16 * n_units + k) * 16 + row % 16)))


def _lookup_f16(w, n_panels, n_units, row, out):
    for k in range(n_units):
        put_f32(out + 4 * k, get_f16(w + 2 * ((row // 16 * n_units + k) * 16 + row % 16)))


def _lookup_bf16(w, n_panels, n_units, row, out):
    for k in range(n_units):
        bits = get_u16(w + 2 * ((row // 16 * n_units + k) * 16 + row % 16))
        put_i32(out + 4 * k, np.int32(bits) << np.int32(16))
