"""Short convolutions: y = C * conv(B * x), feature by feature, over the rows of a span.

A chunk is some features of a span's rows, and goes through these in order. The last n_taps rows of
u = B * x lie in a ring in the thread's own memory: row r of the sequence that begins with the
state's n_taps - 1 rows is in slot r % n_taps. Sums go from the oldest row to the newest, whatever
the chunks are; the rows of a journal are u itself.
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.pool import share
from halfbyte.kernels.stages.record import CONVOLVED, SPAN, SPAN_NBYTES, STEP
from halfbyte.kernels.vectors.scalars import get_i64
from halfbyte.kernels.vectors.simd import add, fma, keep_first, load, mul, splat, store

_PARTS = 16  # of a span's features: as many threads can share one


def n_parts(width: int) -> int:
    """Into how many chunks so many features of a span are dealt."""
    return min(_PARTS, -(-width // 16))


def ring_nbytes(n_taps: int, width: int) -> int:
    """Bytes of a thread's own memory that a chunk takes."""
    n_vectors = -(-width // 16)
    return n_taps * 64 * -(-n_vectors // n_parts(width))


@kernel
def convolve(stage, step, chunk, n_chunks):
    """Some features of a span's rows."""
    parts = get_i64(stage + CONVOLVED.per_span)
    span = get_i64(step + STEP.spans) + chunk // parts * SPAN_NBYTES
    n_vectors = (get_i64(stage + CONVOLVED.width) + 15) // 16
    part = chunk % parts
    first = share(part, parts, n_vectors)
    n = share(part + 1, parts, n_vectors) - first
    if n == 0:
        return
    ring, n_rows = get_i64(step + STEP.work), get_i64(span + SPAN.n_rows)
    n_kept, n_certain = get_i64(span + SPAN.n_kept), get_i64(span + SPAN.n_certain)
    at = _begin(stage, span, ring, first, n)
    for kept in range(n_kept):
        row = get_i64(span + SPAN.kept) + kept * get_i64(stage + CONVOLVED.token_nbytes)
        row += get_i64(stage + CONVOLVED.kept_at) + 64 * first
        for v in range(n):
            store(ring + 64 * (at * n + v), load(row + 64 * v))
        at = _next(stage, at)
    for row in range(n_rows):
        if row == n_certain:
            _write(stage, span, ring, at, first, n)
        _fold(stage, span, ring + 64 * at * n, row, first, n)
        if row >= n_certain:
            _keep(stage, span, ring + 64 * at * n, row - n_certain, first, n)
        at = _next(stage, at)
        _give(stage, span, ring, at, row, first, n)
    if n_certain == n_rows:
        _write(stage, span, ring, at, first, n)


@device
def _begin(stage, span, ring, first, n):
    """The state's rows into the ring; the slot behind them."""
    state, n_rows = get_i64(span + SPAN.state), get_i64(stage + CONVOLVED.n_taps) - 1
    for j in range(n_rows):
        row = state + _state_row(stage, j, first)
        for v in range(n):
            if state != 0:
                store(ring + 64 * (j * n + v), load(row + 64 * v))
            else:
                store(ring + 64 * (j * n + v), splat(np.float32(0)))
    return n_rows


@device
def _next(stage, at):
    """The slot behind one, which is the oldest row's."""
    at += 1
    return 0 if at == get_i64(stage + CONVOLVED.n_taps) else at


@device
def _state_row(stage, j, first):
    """Where row j of a layer's state begins in a block, from vector `first` on."""
    row_nbytes = (get_i64(stage + CONVOLVED.width) + 15) // 16 * 64
    return get_i64(stage + CONVOLVED.state_at) + j * row_nbytes + 64 * first


@device
def _input(stage, span, row):
    row += get_i64(span + SPAN.row)
    return get_i64(stage + CONVOLVED.x) + row * get_i64(stage + CONVOLVED.x_stride)


@device
def _fold(stage, span, to, row, first, n):
    """u = B * x of a row; zeros behind the last feature."""
    width, b = get_i64(stage + CONVOLVED.width), _input(stage, span, row)
    x = b + 8 * width
    for v in range(n):
        at = 64 * (first + v)
        u = mul(load(b + at), load(x + at))
        store(to + 64 * v, keep_first(u, width - 16 * (first + v), splat(np.float32(0))))


@device
def _give(stage, span, ring, oldest, row, first, n):
    """y = C * (the sum of the ring's rows times the taps + bias)."""
    width, n_taps = get_i64(stage + CONVOLVED.width), get_i64(stage + CONVOLVED.n_taps)
    c = _input(stage, span, row) + 4 * width
    y = get_i64(stage + CONVOLVED.y)
    y += (get_i64(span + SPAN.row) + row) * get_i64(stage + CONVOLVED.y_stride)
    for v in range(n):
        at = 64 * (first + v)
        tap, slot = get_i64(stage + CONVOLVED.taps) + at, oldest
        total = mul(load(tap), load(ring + 64 * (slot * n + v)))
        for _ in range(n_taps - 1):
            tap += get_i64(stage + CONVOLVED.taps_stride)
            slot = _next(stage, slot)
            total = fma(load(tap), load(ring + 64 * (slot * n + v)), total)
        if get_i64(stage + CONVOLVED.bias) != 0:
            total = add(total, load(get_i64(stage + CONVOLVED.bias) + at))
        given = mul(load(c + at), total)
        store(y + at, keep_first(given, width - 16 * (first + v), splat(np.float32(0))))


@device
def _keep(stage, span, u, guess, first, n):
    """A guess to the journal."""
    to = get_i64(span + SPAN.journal) + guess * get_i64(stage + CONVOLVED.token_nbytes)
    to += get_i64(stage + CONVOLVED.kept_at) + 64 * first
    for v in range(n):
        store(to + 64 * v, load(u + 64 * v))


@device
def _write(stage, span, ring, oldest, first, n):
    """The state as it is now: all rows of the ring but the oldest, whose slot is the next one's."""
    block, slot = get_i64(span + SPAN.next), oldest
    for j in range(get_i64(stage + CONVOLVED.n_taps) - 1):
        slot = _next(stage, slot)
        to = block + _state_row(stage, j, first)
        for v in range(n):
            store(to + 64 * v, load(ring + 64 * (slot * n + v)))
