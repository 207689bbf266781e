"""Running sums of a distribution, added one after another, as a draw from it needs them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.compiler.jit import kernel
from halfbyte.kernels.vectors.scalars import get_f64, put_f64, put_i64

_SPAN = 512  # numbers between two sums that are kept


def index_passing(shares: NDArray[np.float64], part: float) -> int:
    """The index at which the running sum first passes `part` of the whole; n where it never does.

    The sums are those of numpy.cumsum, bit by bit, of which only a few are ever in memory.

    Args:
        shares: (n,) of numbers from 0; contiguous; only read.
        part: from 0, below 1.
    """
    assert shares.flags.c_contiguous and shares.dtype == np.float64
    n, found = len(shares), np.empty(1, np.int64)
    sums = np.full(n // _SPAN + 1, part)
    _finding()(shares.ctypes.data, n, sums.ctypes.data, found.ctypes.data)
    return int(found[0])


@cache
def _finding() -> Callable[..., None]:
    return _find.call


@kernel
def _find(shares, n, sums, found):
    """A pass for the sums, and part of another from the last one below; the part is in `sums`."""
    part, total = get_f64(sums), 0.0
    for begin in range(0, n, _SPAN):
        put_f64(sums + begin // _SPAN * 8, total)
        for i in range(begin, min(begin + _SPAN, n)):
            total += get_f64(shares + 8 * i)
    limit, at = part * total, 0
    for begin in range(_SPAN, n, _SPAN):
        if not get_f64(sums + begin // _SPAN * 8) > limit:
            at = begin
    total = get_f64(sums + at // _SPAN * 8)
    while at < n:
        total += get_f64(shares + 8 * at)
        if total > limit:
            break
        at += 1
    put_i64(found, at)
