"""Weight matrices of files to packed panels (panels.py): read and packed by all threads at once.

A job takes any number of matrices. Its chunks are rows of them: a thread reads some into memory of
its own, which stays in its processor's cache, and packs them from there. Chunks are so large that
two threads seldom meet in a huge page, which each of them would clear.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.formats.unfolding import book_address
from halfbyte.kernels.layouts.panel_packing import MATRIX, NOT_FINITE, NOT_READ, pack_kernel
from halfbyte.kernels.layouts.panels import FACTOR_NBYTES, STRIP_ROWS, PanelFormat, n_panels
from halfbyte.kernels.pool import Pool, finish, is_current, take
from halfbyte.kernels.vectors.atomics import atomic_put
from halfbyte.kernels.vectors.calls import call, call_for_count
from halfbyte.kernels.vectors.scalars import get_i64, put_i64, stack
from halfbyte.kernels.vectors.words import words
from halfbyte.lazy_dataclass import dataclass

STEP_NBYTES = 256 << 10  # read at a time
CHUNK_NBYTES = 4 << 20

# All matrices, one record behind the other; of `rooms` each thread has `room_nbytes`.
_ARGS = words("matrices n_chunks rooms room_nbytes")
_ARGS_NBYTES, _MATRIX_NBYTES = 8 * len(_ARGS), 8 * len(MATRIX)
_NO_READ = -1  # where the system has no function for it
_UNREAD = 1
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Packing:
    """A matrix that is to be packed, or several of one shape that lie behind one another.

    Attributes:
        fmt: what to pack into.
        n_rows, n_inputs: logical shape of each.
        out: uint8, as many bytes as all take: `fmt.nbytes(n_rows, n_inputs)` each.
        offset: where row 0 of the file begins; its address where there is no file.
        file: the descriptor of an open file.
        stride: how many rows of the file a matrix is behind the one before.
        factors: of each whole matrix, where the format has one.
        order: int64 (n_rows,), for each row which one of the file's it is; None: the same.
        rows: which are packed, from the first to before the last; None: all. They begin with a
            step (`steps`), and end with one or with the matrix.
    """

    fmt: PanelFormat
    n_rows: int
    n_inputs: int
    out: Bytes
    offset: int
    file: int | None = None
    stride: int = 0
    factors: NDArray[np.float32] | None = None
    order: NDArray[np.int64] | None = None
    rows: tuple[int, int] | None = None

    @property
    def row_nbytes(self) -> int:
        """Bytes of a row in the file."""
        return self.fmt.source.row_nbytes(self.n_inputs)

    @property
    def n(self) -> int:
        """How many matrices."""
        return self.out.nbytes // self.fmt.nbytes(self.n_rows, self.n_inputs)

    def steps(self) -> tuple[int, int]:
        """How many rows are read at a time, and how many are a chunk; both are whole strips."""
        unit = STRIP_ROWS
        if self.order is not None:  # as many as are read without reading others' between them
            whole = -(-self.n_rows // STRIP_ROWS) * STRIP_ROWS
            each = range(STRIP_ROWS, whole, STRIP_ROWS)
            unit = next((n for n in each if _is_apart(*_spans(self.order, n))), whole)
        step = max(STEP_NBYTES // (self.row_nbytes * unit), 1) * unit
        return step, max(CHUNK_NBYTES // (self.row_nbytes * step), 1) * step

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """The rows of the file that some rows lie in."""
        if self.order is None:
            return begin, end
        return int(self.order[begin:end].min()), int(self.order[begin:end].max()) + 1

    def records(self) -> NDArray[np.int64]:
        """The words of each (MATRIX)."""
        fmt, nbytes, i = self.fmt, self.row_nbytes, np.arange(self.n)
        (step, chunk), (begin, end) = self.steps(), self.rows or (0, self.n_rows)
        made = np.zeros((self.n, len(MATRIX)), np.int64)
        for word, value in (
            ("row_nbytes", nbytes), ("order", 0 if self.order is None else self.order.ctypes.data),
            ("n_units", fmt.n_units(self.n_inputs)), ("n_panels", n_panels(self.n_rows)),
            ("dst", self.out.ctypes.data + i * fmt.nbytes(self.n_rows, self.n_inputs)),
            ("book", book_address(fmt.source)), ("kernel", pack_kernel(fmt.name).address),
            ("read", 0 if self.file is None else _read_address()), ("file", self.file or 0),
            ("offset", self.offset + i * self.stride * nbytes), ("begin", begin), ("end", end),
            ("step", step), ("chunk", chunk), ("n_chunks", -(-(end - begin) // chunk)),
            ("room", self._n_read(step) * nbytes),
        ):  # fmt: skip
            made[:, getattr(MATRIX, word) // 8] = value
        return made

    def _n_read(self, step: int) -> int:
        """Rows that are read at a time."""
        if self.order is None:
            return min(step, self.n_rows)
        first, last = _spans(self.order, step)
        return int((last - first).max()) + 1

    def read_first(self, read: Callable[[int, int], Bytes]) -> Iterator[Packing]:
        """The same in parts, whose rows somebody else reads: `read` gets their begin and end."""
        nbytes, (_, chunk) = self.row_nbytes, self.steps()
        for i, out in enumerate(np.split(self.out, self.n)):
            factors = None if self.factors is None else self.factors[i : i + 1]
            for begin in range(0, self.n_rows, chunk):
                end = min(begin + chunk, self.n_rows)
                first, last = self.span(begin, end)
                at = self.offset + i * self.stride * nbytes
                data = read(at + first * nbytes, at + last * nbytes)
                offset = int(data.ctypes.data) - first * nbytes
                yield replace(self, out=out, offset=offset, file=None, factors=factors,
                              rows=(begin, end))  # fmt: skip


def _spans(order: NDArray[np.int64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first and the last row of the file of each n rows."""
    begins = np.arange(0, len(order), n)
    return np.minimum.reduceat(order, begins), np.maximum.reduceat(order, begins)


def _is_apart(first: NDArray[np.int64], last: NDArray[np.int64]) -> bool:
    return bool((last[:-1] < first[1:]).all())


def pack_all(pool: Pool, packings: Sequence[Packing]) -> list[int]:
    """Pack matrices; what is wrong with each packing's: 0, NOT_FINITE or NOT_READ.

    What could not be read may be tried again by `read_first`, which can say why.
    """
    groups = [packing.records() for packing in packings]
    records = np.concatenate(groups)
    n_chunks = records[:, MATRIX.n_chunks // 8]
    records[:, MATRIX.first_chunk // 8] = np.cumsum(n_chunks) - n_chunks
    room_nbytes = int(records[:, MATRIX.room // 8].max())
    rooms = np.empty(pool.n_threads * room_nbytes, np.uint8)
    args = [records.ctypes.data, n_chunks.sum(), rooms.ctypes.data, room_nbytes]
    pool.run(pack_matrices, np.array(args, np.int64))
    faults = np.split(records[:, MATRIX.fault // 8], np.cumsum([len(group) for group in groups]))
    return [_put_factors(packing) or int(each.max())
            for packing, each in zip(packings, faults, strict=False)]  # fmt: skip


def pack(
    pool: Pool, rows: Bytes, fmt: PanelFormat, n_inputs: int, out: Bytes, factor: float = 1.0
) -> None:
    """Pack a matrix that is in memory.

    Args:
        pool: threads that do the work.
        rows: uint8 (n_rows, row bytes), C-contiguous, in the block format `fmt.source`.
        fmt: what to pack into.
        n_inputs: of a row.
        out: uint8, `fmt.nbytes(n_rows, n_inputs)` bytes, overwritten.
        factor: of the whole matrix, where the format has one.

    Raises:
        ValueError: a shape or layout is not as stated, or a number is NaN or infinite.
    """
    n_rows, nbytes = rows.shape
    if nbytes != fmt.source.row_nbytes(n_inputs) or not rows.flags.c_contiguous:
        raise ValueError(f"pack: {nbytes} bytes are no row of {n_inputs} inputs of {fmt.name}")
    if not 0 < out.nbytes == fmt.nbytes(n_rows, n_inputs) or not out.flags.c_contiguous:
        raise ValueError(f"pack: {out.nbytes} bytes hold no {n_rows} x {n_inputs} of {fmt.name}")
    factors, address = np.array([factor], np.float32), int(rows.ctypes.data)
    if pack_all(pool, [Packing(fmt, n_rows, n_inputs, out, address, factors=factors)]) != [0]:
        raise ValueError("NaN or infinite numbers")


def _put_factors(packing: Packing) -> int:
    """Write the factors of matrices behind them; what is wrong with them."""
    if not packing.fmt.has_factor:
        return 0
    factors = np.ones(packing.n, np.float32) if packing.factors is None else packing.factors
    tails = packing.out.reshape(packing.n, -1)[:, -FACTOR_NBYTES:].view(np.float32)
    tails[:, 0], tails[:, 1:] = factors, 0
    return 0 if np.isfinite(factors).all() else NOT_FINITE


@cache
def _read_address() -> int:
    """The address of the C library's pread; NO_READ where there is none."""
    try:
        function = ctypes.CDLL(None).pread
    except (AttributeError, OSError, TypeError):  # Windows
        return _NO_READ
    return ctypes.cast(function, ctypes.c_void_p).value or _NO_READ


@kernel
def pack_matrices(pool, first, args, thread):
    """Job: read and pack rows of matrices, chunk by chunk."""
    own = stack(_ARGS_NBYTES)
    for at in range(0, _ARGS_NBYTES, 8):
        put_i64(own + at, get_i64(args + at))
    if not is_current(pool, first):
        return
    matrix, n_chunks = get_i64(own + _ARGS.matrices), get_i64(own + _ARGS.n_chunks)
    room = get_i64(own + _ARGS.rooms) + thread * get_i64(own + _ARGS.room_nbytes)
    chunk = take(pool, first, n_chunks, thread)
    while chunk >= 0:
        at = chunk - get_i64(matrix + MATRIX.first_chunk)
        while at >= get_i64(matrix + MATRIX.n_chunks):
            at -= get_i64(matrix + MATRIX.n_chunks)
            matrix += _MATRIX_NBYTES
        _pack_chunk(matrix, at, room)
        finish(pool, first, n_chunks)
        chunk = take(pool, first, n_chunks, thread)


@device
def _pack_chunk(matrix, chunk, room):
    """Pack some rows of a matrix, step by step."""
    n = get_i64(matrix + MATRIX.chunk)
    begin = get_i64(matrix + MATRIX.begin) + chunk * n
    end = min(begin + n, get_i64(matrix + MATRIX.end))
    step = get_i64(matrix + MATRIX.step)
    for row in range(begin, end, step):
        n = min(step, end - row)
        rows = _read_rows(matrix, row, n, room)
        if rows == _UNREAD:
            atomic_put(matrix + MATRIX.fault, NOT_READ)
            return
        call(get_i64(matrix + MATRIX.kernel), matrix, rows, row, n)


@device
def _read_rows(matrix, row, n, room):
    """Have n rows in memory; where row 0 of the file would lie beside them; _UNREAD: they fail."""
    nbytes, read = get_i64(matrix + MATRIX.row_nbytes), get_i64(matrix + MATRIX.read)
    offset, order = get_i64(matrix + MATRIX.offset), get_i64(matrix + MATRIX.order)
    if read == 0:
        return offset
    first, last = row, row + n - 1
    if order:
        first = last = get_i64(order + 8 * row)
        for i in range(row, row + n):
            first = min(first, get_i64(order + 8 * i))
            last = max(last, get_i64(order + 8 * i))
    done, end = 0, (last + 1 - first) * nbytes
    while done < end:
        if read == _NO_READ:
            return _UNREAD
        came = call_for_count(read, get_i64(matrix + MATRIX.file), room + done, end - done,
                              offset + first * nbytes + done)  # fmt: skip
        if came <= 0:
            return _UNREAD
        done += came
    return room - first * nbytes
