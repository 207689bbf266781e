"""exp and SiLU on vectors: the one implementation of each."""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.vectors.simd import (
    add,
    div,
    fma,
    maximum,
    minimum,
    mul,
    power_of_two,
    splat,
    sub,
)

_LOG2E = np.float32(1.4426950408889634)
# ln 2 in two parts: n * HIGH is exact for the n that occur.
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUND = np.float32(12582912.0)  # 1.5 * 2**23
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1 / f) for f in (2, 6, 24, 120, 720, 5040))


@device
def exp(x):
    """e ** x within 2 units in the last place; exactly 1 at 0, exactly 0 below -87.4.

    x = n ln 2 + r with |r| <= ln 2 / 2, and e ** r by its Taylor polynomial of degree 7.
    """
    x = minimum(maximum(x, splat(np.float32(-88.5))), splat(np.float32(88.0)))
    shifted = fma(x, splat(_LOG2E), splat(_ROUND))
    n = sub(shifted, splat(_ROUND))
    r = fma(n, splat(-_LN2_HIGH), x)
    r = fma(n, splat(-_LN2_LOW), r)
    p = fma(splat(_C7), r, splat(_C6))
    p = fma(p, r, splat(_C5))
    p = fma(p, r, splat(_C4))
    p = fma(p, r, splat(_C3))
    p = fma(p, r, splat(_C2))
    p = fma(fma(p, mul(r, r), r), splat(np.float32(1)), splat(np.float32(1)))
    return mul(p, power_of_two(maximum(n, splat(np.float32(-127)))))


@device
def silu(x):
    """x / (1 + e ** -x)."""
    return div(x, add(splat(np.float32(1)), exp(sub(splat(np.float32(0)), x))))
