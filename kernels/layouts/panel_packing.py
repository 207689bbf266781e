"""Rows of a file's matrix to packed panels (panels.py): a kernel for each block format."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halfbyte.kernels.compiler.jit import Kernel, device, kernel_maker
from halfbyte.kernels.formats.block_format import E8M0_BIAS, E8M0_NAN
from halfbyte.kernels.formats.codes import (
    UNIT,
    byte_and_shift,
    code_planes,
    finite_float8,
    get_integer,
    get_word,
    sub_integers,
)
from halfbyte.kernels.formats.floats import F16
from halfbyte.kernels.formats.unfolding import ROOM, UNFOLD, read_block
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, ROWS, STRIP_ROWS, PanelFormat
from halfbyte.kernels.vectors.atomics import atomic_put
from halfbyte.kernels.vectors.scalars import (
    get_i32,
    get_i64,
    get_u8,
    get_u16,
    put_i32,
    put_i64,
    put_u8,
    put_u16,
    stack,
)
from halfbyte.kernels.vectors.transpose import join_words, turn_halves, turn_words
from halfbyte.kernels.vectors.words import words

# A matrix that is being packed. Its rows are `row_nbytes` long in the file, where row i of it is
# the i-th or, if `order` is not 0, the one whose number stands there. `n_units` are those of a row
# and `n_panels` all that lie from `dst` on; `book` is the format's codebook, and `fault` becomes
# NOT_FINITE where a number is NaN or infinite. What begins with `kernel` is for who deals the rows
# (packing.py).
MATRIX = words(
    "row_nbytes order n_units n_panels dst book fault "
    "kernel read file offset begin end step room chunk n_chunks first_chunk"
)
NOT_FINITE, NOT_READ = 1, 2
_F16_EXPONENT = np.uint16(F16.exponent)


@kernel_maker
def pack_kernel(name: str) -> Kernel:
    """The function that packs rows of a format: (matrix, rows, first, n).

    Of the matrix those from the one numbered `first` on, which begin with a strip, and end with one
    or with the matrix. `rows` is where row 0 of the file would lie beside those that are read.
    """
    fmt = PANEL_FORMATS[name]
    pack_panel = (
        _blocks(fmt) if fmt.is_quantized else _floats(fmt.source.block_nbytes, fmt.source.exponent)
    )
    pack_panel.__qualname__ = f"pack_{name}.panel"
    PANEL = device(pack_panel)

    def pack(matrix, rows, first, n):
        sources = stack(_SOURCES_NBYTES)
        for row in range(0, -(-n // STRIP_ROWS) * STRIP_ROWS, ROWS):
            n_inside = min(max(n - row, 0), ROWS)  # the second panel of a strip may have none
            at = first + row if n_inside > 0 else first
            _find_sources(matrix, rows, at, n_inside, sources)
            PANEL(matrix, sources, (first + row) // ROWS, n_inside)

    return Kernel(pack, f"pack_{name}")


_SOURCES_NBYTES = 8 * ROWS


@device
def _find_sources(matrix, rows, first, n, sources):
    """Where the 16 rows of a panel lie, from the one numbered `first` on: of padding, that one."""
    order = get_i64(matrix + MATRIX.order)
    for r in range(ROWS):
        row = first + r if r < n else first
        if order:
            row = get_i64(order + 8 * row)
        put_i64(sources + 8 * r, rows + row * get_i64(matrix + MATRIX.row_nbytes))


@device
def _turn_codes(PLANE, sources, block, unit, out, streams, room):
    """The low codes of a unit of 16 rows: of 8 bits, or of 4 in runs of 16 or more."""
    first, bits, run, _ = PLANE
    if bits == 8:
        at = block + first + UNIT * unit
        turn_words(sources, at, out, streams)
        turn_words(sources, at + 16, out + 256, streams)
    elif run == 16:  # as they lie
        turn_words(sources, block + first + 16 * unit, out, streams)
    else:
        byte, shift = byte_and_shift(PLANE, UNIT * unit)
        turn_words(sources, block + byte, room, 0)
        turn_words(sources, block + byte + 16, room + 256, 0)
        for j in range(4):
            join_words(room + 64 * j, room + 256 + 64 * j, shift, out + 64 * j, streams)


@device
def _turn_numbers(sources, at, n_rows, sign, to, bad):
    """Half-precision numbers of 16 rows; as `_pack_half`."""
    if turn_halves(sources, at, n_rows, sign, np.int64(_F16_EXPONENT), to):
        atomic_put(bad, NOT_FINITE)


def _turned(fmt: PanelFormat) -> tuple[bool, Callable[..., None]]:
    """Whether numbers and low codes of 16 rows' blocks are packed at once, and what does so."""
    source, PLANE = fmt.blocks, code_planes(fmt.blocks)[0]
    _, bits, run, _ = PLANE
    IS_TURNED = fmt.source.plain is None and ((bits, run) == (8, 0) or (bits == 4 and run >= 16))
    HAS_HALF, HAS_MINIMA = source.has_number and not source.is_power, fmt.has_minima
    UNITS, NBYTES, SIGN = fmt.block_units, 64 * fmt.bits, 0x8000 if fmt.is_super else 0
    D_AT = source.at(source.number) if source.has_number else 0
    M_AT = source.at(source.addend) if source.addend else 0

    def turn(sources, block, n_rows, factors, addends, codes, bad):
        streams, words = np.int64(codes % 64 == 0), stack(2 * 4 * 64)
        if IS_TURNED and HAS_HALF:
            _turn_numbers(sources, block + D_AT, n_rows, 0, factors, bad)
        if IS_TURNED and HAS_MINIMA:
            _turn_numbers(sources, block + M_AT, n_rows, SIGN, addends, bad)
        for unit in range(UNITS if IS_TURNED else 0):
            _turn_codes(PLANE, sources, block, unit, codes + unit * NBYTES, streams, words)

    turn.__qualname__ = f"pack_{fmt.name}.turn"
    return IS_TURNED, device(turn)


@device
def _pack_low(LOW, PLANE, block, unit, out):
    """A unit's low codes of one row, to its lane of the unit's vectors."""
    if LOW == 8:
        for g in range(8):
            put_i32(out + 64 * g, get_word(PLANE, block, unit, g))
    elif LOW == 4:
        for j in range(4):
            high = get_word(PLANE, block, unit, 4 + j) << np.int32(4)
            put_i32(out + 64 * j, get_word(PLANE, block, unit, j) | high)
    else:
        _pack_few(LOW, PLANE, block, unit, out)


@device
def _pack_few(BITS, PLANE, block, unit, out):
    """A plane of 1 or 2 bits, or none."""
    if BITS == 1:
        _pack_bits(PLANE, block, unit, out)
    elif BITS == 2:
        _pack_crumbs(PLANE, block, unit, out)


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
        atomic_put(bad, NOT_FINITE)
    put_u16(to, bits ^ np.uint16(sign) if inside else np.uint16(0))


@device
def _pack_power(source, to, inside, bad):
    """The exponent of a power of two, likewise; of padding 1, since tiny numbers are slow."""
    exponent = get_u8(source)
    if exponent == np.uint8(E8M0_NAN):
        atomic_put(bad, NOT_FINITE)
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
    IS_POWER, NUMBER = source.is_power, 16 if source.is_power else 32
    D_AT = source.at(source.number) if HAS_NUMBER else 0
    M_AT = source.at(source.addend) if source.addend else 0
    (SCALE_AT, SCALE), (MINIMUM_AT, MINIMUM) = sub_integers(source)
    SHARED_AT, OWN_AT = (MINIMUM_AT, None) if fmt.shares_bytes else (None, MINIMUM_AT)
    IS_TURNED, TURN = _turned(fmt)

    def pack_panel(matrix, sources, panel, n_rows):
        n_units, dst = get_i64(matrix + MATRIX.n_units), get_i64(matrix + MATRIX.dst)
        bad, book, room = matrix + MATRIX.fault, get_i64(matrix + MATRIX.book), stack(ROOM)
        n, n_blocks = get_i64(matrix + MATRIX.n_panels) * n_units, n_units // UNITS
        for i in range(n_blocks):
            at = panel * n_blocks + i
            factors, addends = dst + n * FACTOR + at * NUMBER, dst + n * ADDEND + at * 32
            first = dst + at * UNITS * BITS * 64
            TURN(sources, i * NBYTES, n_rows, factors, addends, first, bad)
            for r in range(16):
                inside = r < n_rows  # padding has the scale 0, or zeros as codes
                block = read_block(READ, get_i64(sources + 8 * r) + i * NBYTES, room, book)
                if IS_POWER:
                    _pack_power(block + D_AT, factors + r, inside, bad)
                elif HAS_NUMBER and not IS_TURNED:
                    _pack_half(block + D_AT, factors + 2 * r, 0, inside, bad)
                if HAS_MINIMA and not IS_TURNED:
                    _pack_half(block + M_AT, addends + 2 * r, SIGN, inside, bad)
                scales, minima = dst + n * SCALES + at * N_SUBS * 16, dst + n * MINIMA
                if IS_SUPER and not HAS_NUMBER:
                    _pack_floats(SCALE_AT, SCALE, N_SUBS, block, inside, scales + r)
                elif IS_SUPER:
                    _pack_integers(SCALE_AT, SCALE, SHARED_AT, OWN_AT, MINIMUM, N_SUBS, block,
                                   scales + r, minima + at * N_SUBS * 16 + r)  # fmt: skip
                for unit in range(UNITS):
                    codes = first + unit * BITS * 64 + 4 * r
                    if not IS_TURNED:
                        _pack_low(LOW, LOW_PLANE, block, unit, codes)
                    _pack_few(HIGH, HIGH_PLANE, block, unit, codes + 64 * LOW)
                    if IS_POWER and not inside:
                        _clear_codes(BITS, codes)

    return pack_panel


def _floats(SIZE: int, EXPONENT: int) -> Callable[..., None]:
    def pack_panel(matrix, sources, panel, n_rows):
        n_units, dst = get_i64(matrix + MATRIX.n_units), get_i64(matrix + MATRIX.dst)
        for r in range(16):
            inside = r < n_rows
            for k in range(n_units):
                source = get_i64(sources + 8 * r) + k * SIZE
                to = dst + ((panel * n_units + k) * 16 + r) * SIZE
                if SIZE == 4:
                    bits = np.int64(get_i32(source))
                    put_i32(to, np.int32(bits) if inside else np.int32(0))
                else:
                    bits = np.int64(get_u16(source))
                    put_u16(to, np.uint16(bits) if inside else np.uint16(0))
                if bits & EXPONENT == EXPONENT:
                    atomic_put(matrix + MATRIX.fault, NOT_FINITE)

    return pack_panel
