"""Weight matrices of a file to packed panels (panels.py): a job, parallel over panels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.compiler.jit import Kernel, device, kernel_maker
from halfbyte.kernels.formats.block_format import E8M0_BIAS, E8M0_NAN
from halfbyte.kernels.formats.codes import (
    code_planes,
    finite_float8,
    get_integer,
    get_word,
    sub_integers,
)
from halfbyte.kernels.formats.floats import F16
from halfbyte.kernels.formats.unfolding import ROOM, UNFOLD, book_address, read_block
from halfbyte.kernels.layouts.panels import (
    FACTOR_NBYTES,
    PANEL_FORMATS,
    ROWS,
    STRIP_ROWS,
    PanelFormat,
    n_panels,
)
from halfbyte.kernels.pool import Pool, item_job
from halfbyte.kernels.vectors.atomics import atomic_put
from halfbyte.kernels.vectors.scalars import (
    get_i32,
    get_i64,
    get_u8,
    get_u16,
    put_i32,
    put_u8,
    put_u16,
    stack,
)
from halfbyte.kernels.vectors.words import words
from halfbyte.lazy_dataclass import dataclass

# `n_items` panels of rows at `src`; of all panels they begin with the one numbered `first`. `book`
# is the format's codebook.
_ARGS = words("n_items first n_panels src n_rows n_units dst bad book")
_F16_EXPONENT = np.uint16(F16.exponent)


@dataclass(frozen=True, slots=True)
class Packing:
    """A matrix that is being packed, some of its rows at a time.

    Attributes:
        pool: threads that do the work.
        fmt: what to pack into.
        n_rows, n_inputs: logical shape.
        out: uint8, `fmt.nbytes(n_rows, n_inputs)` bytes, overwritten.
        factor: of the whole matrix, where the format has one.
    """

    pool: Pool
    fmt: PanelFormat
    n_rows: int
    n_inputs: int
    out: NDArray[np.uint8]
    factor: float = 1.0

    def put(self, rows: NDArray[np.uint8], first: int = 0) -> None:
        """Pack some rows, given as their bytes in the file.

        Args:
            rows: uint8 (n, row bytes), C-contiguous, in the block format `fmt.source`.
            first: which row of the matrix they begin with, a multiple of STRIP_ROWS; the rows end
                at another one, or with the matrix.

        Raises:
            ValueError: a shape or layout is not as stated, or a number is NaN or infinite.
        """
        fmt, n_inputs = self.fmt, self.n_inputs
        n, nbytes = rows.shape
        end = first + n
        if not 0 <= first < end <= self.n_rows:
            raise ValueError(f"pack: rows {first} to {end} of {self.n_rows}")
        if first % STRIP_ROWS or (end % STRIP_ROWS and end != self.n_rows):
            raise ValueError(f"pack: rows {first} to {end} are no whole strips")
        if nbytes != fmt.source.row_nbytes(n_inputs) or not rows.flags.c_contiguous:
            raise ValueError(f"pack: {nbytes} bytes are no row of {n_inputs} inputs of {fmt.name}")
        if self.out.nbytes != fmt.nbytes(self.n_rows, n_inputs) or not self.out.flags.c_contiguous:
            raise ValueError(
                f"pack: {self.out.nbytes} bytes hold no {self.n_rows} x {n_inputs} of {fmt.name}"
            )
        bad = np.zeros(1, np.int64)
        args = [n_panels(n), first // ROWS, n_panels(self.n_rows), rows.ctypes.data, n,
                fmt.n_units(n_inputs), self.out.ctypes.data, bad.ctypes.data,
                book_address(fmt.source)]  # fmt: skip
        self.pool.run(pack_kernel(fmt.name), np.array(args, np.int64))
        if fmt.has_factor:
            tail = self.out[-FACTOR_NBYTES:].view(np.float32)
            tail[:] = self.factor, *[0] * (len(tail) - 1)
        if bad[0] or not np.isfinite(self.factor):
            raise ValueError("NaN or infinite numbers")


def pack(
    pool: Pool, rows: NDArray[np.uint8], fmt: PanelFormat, n_inputs: int, out: NDArray[np.uint8]
) -> None:
    """Pack all rows of a matrix at once; see Packing."""
    Packing(pool, fmt, len(rows), n_inputs, out).put(rows)


@kernel_maker
def pack_kernel(name: str) -> Kernel:
    """The job that packs a format: (pool, first stage, args, thread)."""
    fmt = PANEL_FORMATS[name]
    pack_panel = (
        _blocks(fmt) if fmt.is_quantized else _floats(fmt.source.block_nbytes, fmt.source.exponent)
    )
    return item_job(pack_panel, _ARGS, f"pack_{name}")


@device
def _pack_codes(LOW, HIGH, LOW_PLANE, HIGH_PLANE, block, unit, out):
    """A unit's codes of one row, to its lane of the unit's vectors."""
    if LOW == 8:
        for g in range(8):
            put_i32(out + 64 * g, get_word(LOW_PLANE, block, unit, g))
    elif LOW == 1:
        _pack_bits(LOW_PLANE, block, unit, out)
    elif LOW == 4:
        for j in range(4):
            high = get_word(LOW_PLANE, block, unit, 4 + j) << np.int32(4)
            put_i32(out + 64 * j, get_word(LOW_PLANE, block, unit, j) | high)
    else:
        _pack_crumbs(LOW_PLANE, block, unit, out)
    if HIGH == 1:
        _pack_bits(HIGH_PLANE, block, unit, out + 64 * LOW)
    elif HIGH == 2:
        _pack_crumbs(HIGH_PLANE, block, unit, out + 64 * LOW)


@device
def _clear_codes(BITS, out):
    """A row of codes that stand for nothing."""
    for j in range(BITS):
        put_i32(out + 64 * j, np.int32(0))


@device
def _pack_bits(PLANE, block, unit, out):
    """A plane of 1 bit."""
    word = np.int32(0)
    for g in range(8):
        word |= get_word(PLANE, block, unit, g) << np.int32(g)
    put_i32(out, word)


@device
def _pack_crumbs(PLANE, block, unit, out):
    """A plane of 2 bits."""
    for j in range(2):
        word = np.int32(0)
        for g in range(4):
            word |= get_word(PLANE, block, unit, 4 * j + g) << np.int32(2 * g)
        put_i32(out + 64 * j, word)


@device
def _pack_integers(SCALE_AT, SCALE, SHARED_AT, MINIMUM_AT, MINIMUM, N_SUBS, block, scales,
                   minima):  # fmt: skip
    """A block's integer scales of one row, with minima that share their bytes or have their own."""
    for sub in range(N_SUBS):
        byte = get_integer(SCALE_AT, SCALE, block, sub)
        if SHARED_AT is not None:
            byte |= get_integer(SHARED_AT, MINIMUM, block, sub) << 4
        put_u8(scales + 16 * sub, np.uint8(byte))
        if MINIMUM_AT is not None:
            put_u8(minima + 16 * sub, np.uint8(get_integer(MINIMUM_AT, MINIMUM, block, sub)))


@device
def _pack_floats(SCALE_AT, SCALE, N_SUBS, block, inside, scales):
    """A block's float scales of one row, of 8 bits."""
    for sub in range(N_SUBS):
        byte = finite_float8(np.uint8(get_integer(SCALE_AT, SCALE, block, sub)))
        put_u8(scales + 16 * sub, np.uint8(byte) if inside else np.uint8(0))


@device
def _pack_half(source, to, sign, inside, bad):
    """A half-precision number, its sign bit turned by `sign`; NaN and infinity are reported."""
    bits = get_u16(source)
    if bits & _F16_EXPONENT == _F16_EXPONENT:
        atomic_put(bad, 1)
    put_u16(to, bits ^ np.uint16(sign) if inside else np.uint16(0))


@device
def _pack_power(source, to, inside, bad):
    """The exponent of a power of two, likewise; of padding 1, since tiny numbers are slow."""
    exponent = get_u8(source)
    if exponent == np.uint8(E8M0_NAN):
        atomic_put(bad, 1)
    put_u8(to, exponent if inside else np.uint8(E8M0_BIAS))


def _blocks(fmt: PanelFormat) -> Callable[..., None]:
    NBYTES, READ = fmt.source.block_nbytes, UNFOLD.get(fmt.source.name)
    source, IS_SUPER, HAS_MINIMA = fmt.blocks, fmt.is_super, fmt.has_minima
    LOW, HIGH, BITS = source.low, source.high, source.bits
    UNITS, N_SUBS, HAS_NUMBER = fmt.block_units, fmt.block_units * fmt.n_subs, source.has_number
    LOW_PLANE, HIGH_PLANE = code_planes(source)
    SCALES, MINIMA, D, DMIN, _ = fmt.parts
    FACTOR, ADDEND = (D, DMIN) if IS_SUPER else (SCALES, MINIMA)
    SIGN = 0x8000 if IS_SUPER else 0
    IS_POWER = source.is_power
    D_AT = source.at(source.number) if HAS_NUMBER else 0
    M_AT = source.at(source.addend) if source.addend else 0
    (SCALE_AT, SCALE), (MINIMUM_AT, MINIMUM) = sub_integers(source)
    SHARED_AT, OWN_AT = (MINIMUM_AT, None) if fmt.shares_bytes else (None, MINIMUM_AT)

    def pack_panel(args, item):
        n_rows, n_units = get_i64(args + _ARGS.n_rows), get_i64(args + _ARGS.n_units)
        src, dst = get_i64(args + _ARGS.src), get_i64(args + _ARGS.dst)
        bad, panel = get_i64(args + _ARGS.bad), get_i64(args + _ARGS.first) + item
        book, room = get_i64(args + _ARGS.book), stack(ROOM)
        n, n_blocks = get_i64(args + _ARGS.n_panels) * n_units, n_units // UNITS
        for i in range(n_blocks):
            at = panel * n_blocks + i
            for r in range(16):
                inside = item * 16 + r < n_rows  # padding has the scale 0, or zeros as codes
                row = item * 16 + r if inside else 0
                block = read_block(READ, src + (row * n_blocks + i) * NBYTES, room, book)
                if IS_POWER:
                    _pack_power(block + D_AT, dst + n * FACTOR + at * 16 + r, inside, bad)
                elif HAS_NUMBER:
                    _pack_half(block + D_AT, dst + n * FACTOR + at * 32 + 2 * r, 0, inside, bad)
                if HAS_MINIMA:
                    _pack_half(block + M_AT, dst + n * ADDEND + at * 32 + 2 * r, SIGN, inside,
                               bad)  # fmt: skip
                scales, minima = dst + n * SCALES + at * N_SUBS * 16, dst + n * MINIMA
                if IS_SUPER and not HAS_NUMBER:
                    _pack_floats(SCALE_AT, SCALE, N_SUBS, block, inside, scales + r)
                elif IS_SUPER:
                    _pack_integers(SCALE_AT, SCALE, SHARED_AT, OWN_AT, MINIMUM, N_SUBS, block,
                                   scales + r, minima + at * N_SUBS * 16 + r)  # fmt: skip
                for unit in range(UNITS):
                    codes = dst + (at * UNITS + unit) * BITS * 64 + 4 * r
                    _pack_codes(LOW, HIGH, LOW_PLANE, HIGH_PLANE, block, unit, codes)
                    if IS_POWER and not inside:
                        _clear_codes(BITS, codes)

    return pack_panel


def _floats(SIZE: int, EXPONENT: int) -> Callable[..., None]:
    def pack_panel(args, item):
        n_rows, n_units = get_i64(args + _ARGS.n_rows), get_i64(args + _ARGS.n_units)
        src, dst = get_i64(args + _ARGS.src), get_i64(args + _ARGS.dst)
        panel = get_i64(args + _ARGS.first) + item
        for r in range(16):
            row = item * 16 + r
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
                if bits & EXPONENT == EXPONENT:
                    atomic_put(get_i64(args + _ARGS.bad), 1)

    return pack_panel
