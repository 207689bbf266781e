"""Choosing codes by what their errors do to a matrix's results: two jobs, parallel over rows.

With inputs x, H = sum x x^T, an error e of a row's weights costs e H e^T.

`feed` rounds a block of columns one after the other and spreads each error over the block's
columns to come, so that they make up for it (Frantar et al., GPTQ, arXiv:2210.17323): with U upper
triangular and H^-1 = U^T U, e_j = (w_j - q_j) / U_jj and w_t -= e_j U_jt for t > j.

`descend` goes on where that ends: it takes each code in turn to where the cost is least, all others
as they are, until none moves. With g = (w - q) H that is q_j + g_j / H_jj.

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
_FEED = words("n_rows n n_subs max_code w u steps offsets codes errors")
_DESCEND = words("n_rows n n_subs max_code n_passes gradient hessian steps codes")


def feed(pool: Pool, w: F32, u: F32, steps: F32, offsets: F32, max_code: int) -> tuple[U8, F32]:
    """Round a block of columns, feeding errors forward within it.

    Args:
        pool: threads that do the work.
        w: weights, float32 (R, n), n a multiple of 16; changed.
        u: the block of U on the diagonal, float32 (n, n), zero below it.
        steps: weight per code, (R, S); S divides n into equal parts.
        offsets: weight of code 0, (R, S).
        max_code: the largest code.

    Returns:
        codes, uint8 (R, n), and the errors e, float32 (R, n), for the columns behind the block.
    """
    n_rows, n = w.shape
    codes, errors = np.empty((n_rows, n), np.uint8), np.empty((n_rows, n), np.float32)
    arrays = [np.ascontiguousarray(a) for a in (u, steps, offsets)]
    _check(w)
    _run(pool, _feed, [n_rows, n, steps.shape[1], max_code], [w, *arrays, codes, errors])
    return codes, errors


def descend(
    pool: Pool, gradient: F32, hessian: F32, steps: F32, codes: U8, max_code: int, n_passes: int
) -> None:
    """Improve codes one at a time, with up to n_passes over a row.

    Args:
        pool: threads that do the work.
        gradient: (w - q) H, float32 (R, K), K a multiple of 16; kept up to date.
        hessian: H, float32 (K, K).
        steps: weight per code, (R, S); S divides K into equal parts.
        codes: uint8 (R, K); changed.
        max_code: the largest code.
        n_passes: when to stop at the latest.
    """
    n_rows, n = codes.shape
    _check(gradient)
    _check(codes)
    arrays = [np.ascontiguousarray(a) for a in (hessian, steps)]
    sizes = [n_rows, n, steps.shape[1], max_code, n_passes]
    _run(pool, _descend, sizes, [gradient, *arrays, codes])


def _check(a: NDArray[Any]) -> None:
    if not a.flags.c_contiguous or a.shape[1] % _LANES:
        raise ValueError(f"codes: expected contiguous rows of a multiple of 16, got {a.shape}")


def _run(pool: Pool, job: Kernel, sizes: list[int], arrays: list[NDArray[Any]]) -> None:
    if sizes[0]:
        pool.run(job, np.array([*sizes, *(a.ctypes.data for a in arrays)], np.int64))


@device
def _nearest(wanted, max_code):
    """The code nearest to a number, 0 for NaN."""
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
    codes = get_i64(args + _FEED.codes) + row * n
    sub = n // n_subs
    for j in range(n):
        step, offset = get_f32(steps + 4 * (j // sub)), get_f32(offsets + 4 * (j // sub))
        value = get_f32(w + 4 * j)
        code = _nearest((value - offset) / step, max_code) if step != np.float32(0) else 0
        error = (value - (step * np.float32(code) + offset)) / get_f32(u + 4 * (j * n + j))
        put_u8(codes + j, np.uint8(code))
        put_f32(errors + 4 * j, error)
        # Columns before j get nothing, U being zero there.
        _subtract(error, u + 4 * j * n, w, j // _LANES * _LANES, n)


@device
def _descend_once(gradient, n, n_subs, max_code, hessian, steps, codes):
    """One pass over a row; whether a code moved."""
    sub = n // n_subs
    has_moved = False
    for j in range(n):
        step = get_f32(steps + 4 * (j // sub))
        if step == np.float32(0):
            continue
        old = np.int64(get_u8(codes + j))
        own = get_f32(hessian + 4 * (j * n + j))
        wanted = np.float32(old) + get_f32(gradient + 4 * j) / (own * step)
        code = _nearest(wanted, max_code)
        if code != old:
            put_u8(codes + j, np.uint8(code))
            _subtract(np.float32(code - old) * step, hessian + 4 * j * n, gradient, 0, n)
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
                                  get_i64(args + _DESCEND.hessian), steps, codes)  # fmt: skip
        n_left = n_left - 1 if has_moved else 0


_feed = item_job(_feed_row, _FEED, "code_search.feed")
_descend = item_job(_descend_row, _DESCEND, "code_search.descend")
