"""Choosing codes by what their errors do to a matrix's results: two jobs, parallel over rows.

With inputs x, H = sum x x^T, an error e of a row's weights costs e H e^T.

`feed` rounds a block of columns one after the other and spreads each error over the block's
columns to come, so that they make up for it (Frantar et al., GPTQ, arXiv:2210.17323): with U upper
triangular and H^-1 = U^T U, e_j = (w_j - q_j) / U_jj and w_t -= e_j U_jt for t > j.

`descend` goes on where that ends: it takes each code in turn to where the cost is least, all others
as they are, until none moves. With g = (w - q) H that is q_j + g_j / H_jj.

A code stands for a level, times a step, plus an offset: itself, or a number of the type's table.

Vectors are 16 floats: columns are a multiple of 16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.compiler.jit import Kernel, device
from halfbyte.kernels.pool import Pool, item_job
from halfbyte.kernels.vectors.scalars import get_f32, get_i64, get_u8, put_f32, put_u8
from halfbyte.kernels.vectors.simd import fma, load, splat, store
from halfbyte.kernels.vectors.words import words

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

_LANES = 16
_FEED = words("n_rows n n_subs max_code w u steps offsets levels codes errors")
_DESCEND = words("n_rows n n_subs max_code n_passes gradient hessian steps levels codes")


def feed(pool: Pool, w: F32, u: F32, steps: F32, offsets: F32, levels: F32) -> tuple[U8, F32]:
    """Round a block of columns, feeding errors forward within it.

    Args:
        pool: threads that do the work.
        w: weights, float32 (R, n), n a multiple of 16; changed.
        u: the block of U on the diagonal, float32 (n, n), zero below it.
        steps: weight per level, (R, S); S divides n into equal parts.
        offsets: weight of level 0, (R, S).
        levels: of each code, ascending; 0, 1, 2, ... where it is the code.

    Returns:
        codes, uint8 (R, n), and the errors e, float32 (R, n), for the columns behind the block.
    """
    n_rows, n = w.shape
    codes, errors = np.empty((n_rows, n), np.uint8), np.empty((n_rows, n), np.float32)
    arrays = [np.ascontiguousarray(a) for a in (u, steps, offsets, levels)]
    _check(w)
    sizes = [n_rows, n, steps.shape[1], _max_code(levels)]
    _run(pool, _feed, sizes, [w, *arrays, codes, errors])
    return codes, errors


def descend(
    pool: Pool, gradient: F32, hessian: F32, steps: F32, codes: U8, levels: F32, n_passes: int
) -> None:
    """Improve codes one at a time, with up to n_passes over a row.

    Args:
        pool: threads that do the work.
        gradient: (w - q) H, float32 (R, K), K a multiple of 16; kept up to date.
        hessian: H, float32 (K, K).
        steps: weight per level, (R, S); S divides K into equal parts.
        codes: uint8 (R, K); changed.
        levels: of each code, as `feed` has them.
        n_passes: when to stop at the latest.
    """
    n_rows, n = codes.shape
    _check(gradient)
    _check(codes)
    arrays = [np.ascontiguousarray(a) for a in (hessian, steps, levels)]
    sizes = [n_rows, n, steps.shape[1], _max_code(levels), n_passes]
    _run(pool, _descend, sizes, [gradient, *arrays, codes])


def _max_code(levels: F32) -> int:
    """The largest code, or minus it where codes stand for numbers of a table."""
    n = len(levels) - 1
    return n if (levels == np.arange(n + 1)).all() else -n


def _check(a: NDArray[Any]) -> None:
    if not a.flags.c_contiguous or a.shape[1] % _LANES:
        raise ValueError(f"codes: expected contiguous rows of a multiple of 16, got {a.shape}")


def _run(pool: Pool, job: Kernel, sizes: list[int], arrays: list[NDArray[Any]]) -> None:
    if sizes[0]:
        pool.run(job, np.array([*sizes, *(a.ctypes.data for a in arrays)], np.int64))


@device
def _level(code, max_code, levels):
    """What a code stands for."""
    return np.float32(code) if max_code > 0 else get_f32(levels + 4 * code)


@device
def _nearest(wanted, max_code, levels):
    """The code whose level is nearest to a number, 0 for NaN."""
    if max_code < 0:
        found = 0
        for i in range(-max_code):
            middle = (get_f32(levels + 4 * i) + get_f32(levels + 4 * i + 4)) / np.float32(2)
            if wanted > middle:
                found = i + 1
        return found
    code = np.floor(wanted + np.float32(0.5))
    if not code > np.float32(0):
        return 0
    if code > np.float32(max_code):
        return max_code
    return np.int64(code)


@device
def _subtract(factor, x, y, begin, end):
    """y -= factor * x for the floats begin..end, both multiples of 16."""
    minus = splat(-factor)
    for i in range(4 * begin, 4 * end, 4 * _LANES):
        store(y + i, fma(minus, load(x + i), load(y + i)))


def _feed_row(args, row):
    n, n_subs = get_i64(args + _FEED.n), get_i64(args + _FEED.n_subs)
    max_code, u = get_i64(args + _FEED.max_code), get_i64(args + _FEED.u)
    w, errors = get_i64(args + _FEED.w) + 4 * row * n, get_i64(args + _FEED.errors) + 4 * row * n
    steps = get_i64(args + _FEED.steps) + 4 * row * n_subs
    offsets = get_i64(args + _FEED.offsets) + 4 * row * n_subs
    codes, levels = get_i64(args + _FEED.codes) + row * n, get_i64(args + _FEED.levels)
    sub = n // n_subs
    for j in range(n):
        step, offset = get_f32(steps + 4 * (j // sub)), get_f32(offsets + 4 * (j // sub))
        value = get_f32(w + 4 * j)
        code, level = 0, np.float32(0)
        if step != np.float32(0):
            code = _nearest((value - offset) / step, max_code, levels)
            level = _level(code, max_code, levels)
        error = (value - (step * level + offset)) / get_f32(u + 4 * (j * n + j))
        put_u8(codes + j, np.uint8(code))
        put_f32(errors + 4 * j, error)
        # Columns before j get nothing, U being zero there.
        _subtract(error, u + 4 * j * n, w, j // _LANES * _LANES, n)


@device
def _descend_once(gradient, n, n_subs, max_code, hessian, steps, levels, codes):
    """One pass over a row; whether a code moved."""
    sub = n // n_subs
    has_moved = False
    for j in range(n):
        step = get_f32(steps + 4 * (j // sub))
        if step == np.float32(0):
            continue
        old = np.int64(get_u8(codes + j))
        own = get_f32(hessian + 4 * (j * n + j))
        level = _level(old, max_code, levels)
        wanted = level + get_f32(gradient + 4 * j) / (own * step)
        code = _nearest(wanted, max_code, levels)
        if code != old:
            put_u8(codes + j, np.uint8(code))
            moved = _level(code, max_code, levels) - level
            _subtract(moved * step, hessian + 4 * j * n, gradient, 0, n)
            has_moved = True
    return has_moved


def _descend_row(args, row):
    n, n_subs = get_i64(args + _DESCEND.n), get_i64(args + _DESCEND.n_subs)
    gradient = get_i64(args + _DESCEND.gradient) + 4 * row * n
    steps = get_i64(args + _DESCEND.steps) + 4 * row * n_subs
    codes = get_i64(args + _DESCEND.codes) + row * n
    n_left = get_i64(args + _DESCEND.n_passes)
    while n_left > 0:
        has_moved = _descend_once(gradient, n, n_subs, get_i64(args + _DESCEND.max_code),
                                  get_i64(args + _DESCEND.hessian), steps,
                                  get_i64(args + _DESCEND.levels), codes)  # fmt: skip
        n_left = n_left - 1 if has_moved else 0


_feed = item_job(_feed_row, _FEED, "code_search.feed")
_descend = item_job(_descend_row, _DESCEND, "code_search.descend")
