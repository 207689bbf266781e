"""Packed panels: how weight matrices lie in memory while they are used.

A panel is 16 rows (outputs), interleaved so that the 16 lanes of a vector are 16 rows. Then no
sum crosses lanes, an activation is broadcast to all lanes, and memory is read front to back.
Matrices are padded with zero rows to an even number of panels; two panels make a strip, the unit
that work is dealt in. A unit is 32 inputs. Its codes are planes of vectors of [16 rows][4 bytes],
byte i of a vector for inputs 4g + i, g from 0 to 7:

    8 bits   8 vectors, one a g
    4 bits   4: vector j holds g = j in the low nibbles, g = 4 + j in the high ones
    2 bits   2: vector j holds g = 4j .. 4j + 3, from the lowest bits up
    1 bit    1: g = 0 .. 7, from the lowest bit up

Codes of 5, 6 and 3 bits are a plane of 4 or 2 bits and one of the bits above it. So for K inputs:

    codes     [panel][K / 32][vectors][16 rows][4 bytes]
    scales    [panel][K / 32][16 rows] half, likewise minima (Q4_1, Q5_1)
    K types:  [panel][K / 32][sub-blocks of a unit][16 rows] a byte for the scale (Q2_K: and the
              minimum); minima [panel][K / 32][16 rows] a byte (Q4_K, Q5_K)
              d [panel][K / 256][16 rows] half; -dmin likewise
    floats    [panel][K][16 rows]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.compiler.jit import Kernel, device
from halfbyte.kernels.formats.block_format import FORMATS, BlockFormat
from halfbyte.kernels.formats.codes import (
    NAMES,
    Q2_K,
    high_word,
    low_word,
    offset_of,
    sub_minimum,
    sub_scale,
)
from halfbyte.kernels.pool import Pool, finish, is_current, share, take
from halfbyte.kernels.vectors.atomics import atomic_put
from halfbyte.kernels.vectors.scalars import (
    get_f16,
    get_f32,
    get_i32,
    get_i64,
    get_u8,
    get_u16,
    put_f32,
    put_i32,
    put_u8,
    put_u16,
)

ROWS = 16
STRIP_ROWS = 32
UNIT = 32  # inputs
SUPER = 8  # units in a block of a K type
_F16_SPECIAL = np.uint16(0x7C00)  # the exponent bits of NaN and infinity


@dataclass(frozen=True, slots=True)
class PanelFormat:
    """The packed form of a block format.

    Attributes:
        source: the format in the file.
        low, high: bits of a code in its two planes (low 0: floats).
        offset: taken from each code.
        n_subs: scales per unit: 1, or 2 for sub-blocks of 16 inputs.
        is_super: whether scales are bytes times a number for 256 inputs (K types).
        has_minima: whether something is added that is no multiple of the code.
    """

    source: BlockFormat
    low: int
    high: int = 0
    offset: int = 0
    n_subs: int = 1
    is_super: bool = False
    has_minima: bool = False

    @property
    def name(self) -> str:
        """The block format's name."""
        return self.source.name

    @property
    def kind(self) -> int:
        """The number by which `codes` knows the format."""
        return NAMES.index(self.name)

    @property
    def bits(self) -> int:
        """Bits of a code, which is also the number of vectors of a unit's codes."""
        return self.low + self.high

    @property
    def is_quantized(self) -> bool:
        """Whether the product takes int8 activations."""
        return self.low > 0

    @property
    def has_minimum_bytes(self) -> bool:
        """Whether minima have bytes of their own (Q2_K's lie beside the scales)."""
        return self.is_super and self.has_minima and self.n_subs == 1

    def n_units(self, n_inputs: int) -> int:
        """How many units (or single inputs, for floats) a row has."""
        return n_inputs // UNIT if self.is_quantized else n_inputs

    @property
    def parts(self) -> tuple[int, int, int, int, int]:
        """Where scales, minima, d and -dmin begin and the matrix ends, in bytes a unit.

        A matrix of n units (of all panels) has them at n times these; a part that the format
        lacks has no length.
        """
        number, is_super = 2 * ROWS, self.is_super
        scales = 64 * self.bits
        minima = scales + (ROWS * self.n_subs if is_super else number)
        d = minima + (ROWS * self.has_minimum_bytes if is_super else number * self.has_minima)
        dmin = d + number // SUPER * is_super
        return scales, minima, d, dmin, dmin + number // SUPER * (is_super and self.has_minima)

    def nbytes(self, n_rows: int, n_inputs: int) -> int:
        """Bytes of a packed matrix."""
        n, n_units = n_panels(n_rows), self.n_units(n_inputs)
        if not self.is_quantized:
            return n * ROWS * self.source.row_nbytes(n_inputs)
        return n * n_units * self.parts[-1]


def _panels(name: str, low: int, high: int = 0, **fields: int) -> PanelFormat:
    return PanelFormat(FORMATS[name], low, high, **fields)  # type: ignore[arg-type]


PANEL_FORMATS: dict[str, PanelFormat] = {
    fmt.name: fmt
    for fmt in (
        _panels("F32", 0),
        _panels("F16", 0),
        _panels("BF16", 0),
        _panels("Q4_0", 4, offset=8),
        _panels("Q4_1", 4, has_minima=True),
        _panels("Q5_0", 4, 1, offset=16),
        _panels("Q5_1", 4, 1, has_minima=True),
        _panels("Q8_0", 8),
        _panels("Q2_K", 2, n_subs=2, is_super=True, has_minima=True),
        _panels("Q3_K", 2, 1, offset=4, n_subs=2, is_super=True),
        _panels("Q4_K", 4, is_super=True, has_minima=True),
        _panels("Q5_K", 4, 1, is_super=True, has_minima=True),
        _panels("Q6_K", 4, 2, offset=32, n_subs=2, is_super=True),
    )
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
    bad = np.zeros(1, np.int64)
    args = [rows.ctypes.data, n_rows, fmt.n_units(n_inputs), out.ctypes.data, n_panels(n_rows),
            bad.ctypes.data]  # fmt: skip
    pool.run(pack_kernel(fmt.name), np.array(args, np.int64))
    if bad[0]:
        raise ValueError("NaN or infinite numbers")


@cache
def pack_kernel(name: str) -> Kernel:
    """The job that packs a format: (pool, first stage, args, thread)."""
    fmt = PANEL_FORMATS[name]
    if not fmt.is_quantized:
        special = {"F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}[name]
        return Kernel(_pack_floats(fmt.source.block_nbytes, special), 4, f"pack_{name}")
    return Kernel(_pack_blocks(fmt), 4, f"pack_{name}")


@cache
def lookup_kernel(name: str) -> Kernel:
    """The function that unpacks one row: (w, n_panels, n_units, row, out floats)."""
    fmt = PANEL_FORMATS[name]
    if fmt.is_quantized:
        function = _lookup_blocks(fmt)
    else:
        function = {"F32": _lookup_f32, "F16": _lookup_f16, "BF16": _lookup_bf16}[name]
    return Kernel(function, 5, f"lookup_{name}")


@device
def _pack_codes(KIND, LOW, HIGH, block, unit, out):
    """A unit's codes of one row, to its lane of the unit's vectors."""
    if LOW == 8:
        for g in range(8):
            put_i32(out + 64 * g, low_word(KIND, block, unit, g))
    elif LOW == 4:
        for j in range(4):
            high = low_word(KIND, block, unit, 4 + j) << np.int32(4)
            put_i32(out + 64 * j, low_word(KIND, block, unit, j) | high)
    else:
        for j in range(2):
            word = np.int32(0)
            for g in range(4):
                word |= low_word(KIND, block, unit, 4 * j + g) << np.int32(2 * g)
            put_i32(out + 64 * j, word)
    if HIGH == 1:
        word = np.int32(0)
        for g in range(8):
            word |= high_word(KIND, block, unit, g) << np.int32(g)
        put_i32(out + 64 * LOW, word)
    elif HIGH == 2:
        for j in range(2):
            word = np.int32(0)
            for g in range(4):
                word |= high_word(KIND, block, unit, 4 * j + g) << np.int32(2 * g)
            put_i32(out + 64 * (LOW + j), word)


@device
def _pack_half(source, to, sign, inside, bad):
    """A half-precision number, its sign bit turned by `sign`; NaN and infinity are reported."""
    bits = get_u16(source)
    if bits & _F16_SPECIAL == _F16_SPECIAL:
        atomic_put(bad, 1)
    put_u16(to, bits ^ np.uint16(sign) if inside else np.uint16(0))


def _pack_blocks(fmt: PanelFormat) -> Callable[..., None]:
    KIND, LOW, HIGH, BITS, SUBS = fmt.kind, fmt.low, fmt.high, fmt.bits, fmt.n_subs
    IS_SUPER, HAS_MINIMA, HAS_MINIMUM_BYTES = fmt.is_super, fmt.has_minima, fmt.has_minimum_bytes
    NBYTES, UNITS = fmt.source.block_nbytes, SUPER if fmt.is_super else 1
    SCALES, MINIMA, D, DMIN, _ = fmt.parts
    FACTOR, ADDEND = (D, DMIN) if IS_SUPER else (SCALES, MINIMA)
    SIGN = 0x8000 if IS_SUPER else 0
    D_AT = offset_of(fmt.name, "d")
    M_AT = offset_of(fmt.name, "dmin" if IS_SUPER else "m") if HAS_MINIMA else 0

    def run(pool, first, args, thread):
        src, n_rows, n_units = get_i64(args), get_i64(args + 8), get_i64(args + 16)
        dst, n_panels, bad = get_i64(args + 24), get_i64(args + 32), get_i64(args + 40)
        if not is_current(pool, first):
            return
        n, n_blocks = n_panels * n_units, n_units // UNITS
        n_chunks = min(n_panels, 1024)
        chunk = take(pool, first, n_chunks)
        while chunk >= 0:
            begin, end = share(chunk, n_chunks, n_panels), share(chunk + 1, n_chunks, n_panels)
            for at in range(begin * n_blocks, end * n_blocks):
                panel, i = at // n_blocks, at % n_blocks
                for r in range(16):
                    inside = panel * 16 + r < n_rows  # padding has the scale 0
                    row = panel * 16 + r if inside else 0
                    block = src + (row * n_blocks + i) * NBYTES
                    _pack_half(block + D_AT, dst + n * FACTOR + at * 32 + 2 * r, 0, inside, bad)
                    if HAS_MINIMA:
                        _pack_half(block + M_AT, dst + n * ADDEND + at * 32 + 2 * r, SIGN, inside,
                                   bad)  # fmt: skip
                    for unit in range(UNITS):
                        place = at * UNITS + unit
                        _pack_codes(KIND, LOW, HIGH, block, unit, dst + place * BITS * 64 + 4 * r)
                        if IS_SUPER:
                            for sub in range(SUBS):
                                put_u8(dst + n * SCALES + (place * SUBS + sub) * 16 + r,
                                       sub_scale(KIND, block, unit * SUBS + sub))  # fmt: skip
                        if HAS_MINIMUM_BYTES:
                            put_u8(dst + n * MINIMA + place * 16 + r, sub_minimum(block, unit))
            finish(pool, first, n_chunks)
            chunk = take(pool, first, n_chunks)

    return run


def _pack_floats(SIZE: int, SPECIAL: int) -> Callable[..., None]:
    def run(pool, first, args, thread):
        src, n_rows, n_units = get_i64(args), get_i64(args + 8), get_i64(args + 16)
        dst, n_panels, bad = get_i64(args + 24), get_i64(args + 32), get_i64(args + 40)
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
                            atomic_put(bad, 1)
            finish(pool, first, n_chunks)
            chunk = take(pool, first, n_chunks)

    return run


@device
def _code(LOW, HIGH, codes, k):
    """The code of input k of a unit; `codes` is the row's lane of the unit's first vector."""
    g, i = k // 4, k % 4
    if LOW == 8:
        return np.int64(np.int8(get_u8(codes + 64 * g + i)))
    if LOW == 4:
        code = np.int64(get_u8(codes + 64 * (g % 4) + i)) >> (g // 4 * 4) & 15
    else:
        code = np.int64(get_u8(codes + 64 * (g // 4) + i)) >> (g % 4 * 2) & 3
    if HIGH == 1:
        code |= (np.int64(get_u8(codes + 64 * LOW + i)) >> g & 1) << LOW
    elif HIGH == 2:
        code |= (np.int64(get_u8(codes + 64 * (LOW + g // 4) + i)) >> (g % 4 * 2) & 3) << LOW
    return code


def _lookup_blocks(fmt: PanelFormat) -> Callable[..., None]:
    KIND, LOW, HIGH, BITS, SUBS = fmt.kind, fmt.low, fmt.high, fmt.bits, fmt.n_subs
    IS_SUPER, HAS_MINIMA, OFFSET = fmt.is_super, fmt.has_minima, fmt.offset
    PART = 32 // SUBS
    SCALES, MINIMA, D, DMIN, _ = fmt.parts

    def lookup(w, n_panels, n_units, row, out):
        panel, lane, n = row // 16, row % 16, n_panels * n_units
        scales, minima = w + n * SCALES, w + n * MINIMA
        super_d, super_m = w + n * D, w + n * DMIN
        for unit in range(n_units):
            at = panel * n_units + unit
            for sub in range(SUBS):
                m = np.float32(0)
                if IS_SUPER:
                    byte = get_u8(scales + (at * SUBS + sub) * 16 + lane)
                    d = get_f16(super_d + at // 8 * 32 + 2 * lane)
                    if KIND == Q2_K:
                        d *= np.float32(byte & 15)
                        m = get_f16(super_m + at // 8 * 32 + 2 * lane) * np.float32(byte >> 4)
                    else:
                        d *= np.float32(np.int8(byte))
                        if HAS_MINIMA:
                            m = get_f16(super_m + at // 8 * 32 + 2 * lane)
                            m *= np.float32(get_u8(minima + at * 16 + lane))
                else:
                    d = get_f16(scales + at * 32 + 2 * lane)
                    if HAS_MINIMA:
                        m = get_f16(minima + at * 32 + 2 * lane)
                for k in range(PART * sub, PART * (sub + 1)):
                    code = _code(LOW, HIGH, w + at * BITS * 64 + 4 * lane, k)
                    value = d * np.float32(code - OFFSET)
                    put_f32(out + 4 * (32 * unit + k), value + m if HAS_MINIMA else value)

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
