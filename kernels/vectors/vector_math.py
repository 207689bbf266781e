"""exp, tanh and the activations of feed-forward networks on vectors: the one of each."""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler.jit import device
from halfbyte.kernels.vectors.simd import (
    ROUND,
    absolute,
    add,
    choose_above,
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
_ROUND = np.float32(ROUND)
_LEAST, _MOST = np.float32(-88), np.float32(88)
# tanh(x) / x = 1 + z (T1 + T2 z + ...) with z = x ** 2, where |x| is at most NEAR.
_NEAR = np.float32(0.625)
_T1, _T2, _T3, _T4, _T5 = (
    np.float32(x) for x in (-0.33333329, 0.13332782, -0.0538525, 0.021003641, -0.0061049481)
)
# Mills' ratio over sqrt(2 pi), as a polynomial in 1 / (1 + 0.3 x) for x from 0 to 14.
_M0, _M1, _M2, _M3, _M4, _M5, _M6, _M7, _M8 = (
    np.float32(x)
    for x in (
        9.0963086e-6, 0.1194514, 0.12220459, 0.093472585, 0.14560983, -0.081282304, 0.23310747,
        -0.17144355, 0.038870920,
    )
)  # fmt: skip
_CUBE, _MINUS_2U = np.float32(0.044715), np.float32(-2 * (2 / np.pi) ** 0.5)
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1 / f) for f in (2, 6, 24, 120, 720, 5040))
_L3, _L5, _L7, _L9, _L11, _L13, _L15 = (np.float32(1 / n) for n in range(3, 16, 2))


@device
def exp(x):
    """e ** x within 2 units in the last place; exactly 1 at 0, exactly 0 below -87.7.

    x = n ln 2 + r with |r| <= ln 2 / 2, and e ** r by its Taylor polynomial of degree 7.
    """
    return _exp_within(minimum(maximum(x, splat(_LEAST)), splat(_MOST)))


@device
def exp_below_0(x):
    """The same for what is not above 0; 0 where it is no number."""
    return _exp_within(maximum(x, splat(_LEAST)))


@device
def _exp_within(x):
    """e ** x from _LEAST, where n is -127, to _MOST."""
    shifted = fma(x, splat(_LOG2E), splat(_ROUND))
    n = sub(shifted, splat(_ROUND))
    r = fma(n, splat(-_LN2_HIGH), x)
    r = fma(n, splat(-_LN2_LOW), r)
    p = fma(splat(_C7), r, splat(_C6))
    p = fma(p, r, splat(_C5))
    p = fma(p, r, splat(_C4))
    p = fma(p, r, splat(_C3))
    p = fma(p, r, splat(_C2))
    p = add(fma(p, mul(r, r), r), splat(np.float32(1)))
    return mul(p, power_of_two(shifted))


@device
def silu(x):
    """x / (1 + e ** -x)."""
    return div(x, add(splat(np.float32(1)), exp(sub(splat(np.float32(0)), x))))


@device
def sigmoid(x):
    """1 / (1 + e ** -x)."""
    return div(splat(np.float32(1)), add(splat(np.float32(1)), exp(sub(splat(np.float32(0)), x))))


@device
def tanh(x):
    """The hyperbolic tangent within 3 units in the last place; 1 and -1 far out.

    1 - 2 / (e ** 2|x| + 1) with x's sign, and near 0, where that cancels, x times a polynomial in
    x ** 2 that was fitted to tanh(x) / x.
    """
    t, one = absolute(x), splat(np.float32(1))
    far = sub(one, div(splat(np.float32(2)), add(exp(add(t, t)), one)))
    far = choose_above(x, splat(np.float32(0)), far, sub(splat(np.float32(0)), far))
    z = mul(x, x)
    p = fma(splat(_T5), z, splat(_T4))
    p = fma(p, z, splat(_T3))
    p = fma(p, z, splat(_T2))
    p = fma(p, z, splat(_T1))
    return choose_above(t, splat(_NEAR), far, fma(mul(p, z), x, x))


@device
def softplus(x):
    """ln(1 + e ** x) within 4 units in the last place.

    The larger of x and 0, and ln(1 + u) with u = e ** -|x|: twice the inverse hyperbolic tangent
    of z = u / (2 + u), whose series in z ** 2 <= 1/9 ends behind 1e-8.
    """
    t, two = absolute(x), splat(np.float32(2))
    u = exp(sub(splat(np.float32(0)), t))
    z = div(u, add(two, u))
    square = mul(z, z)
    p = fma(splat(_L15), square, splat(_L13))
    p = fma(p, square, splat(_L11))
    p = fma(p, square, splat(_L9))
    p = fma(p, square, splat(_L7))
    p = fma(p, square, splat(_L5))
    p = fma(p, square, splat(_L3))
    p = fma(mul(p, square), z, z)
    return fma(splat(np.float32(0.5)), add(x, t), mul(two, p))


@device
def gelu(x):
    """x times the normal distribution's integral up to x: GELU as it is defined.

    Below 0 that is e ** (-x**2 / 2) M(-x), M being Mills' ratio over sqrt(2 pi), a polynomial in
    1 / (1 + 0.3 |x|) of degree 8 to 7e-8; above, 1 less that of -x. Source: arXiv:1606.08415.
    """
    t, one = absolute(x), splat(np.float32(1))
    y = div(one, fma(t, splat(np.float32(0.3)), one))
    p = fma(splat(_M8), y, splat(_M7))
    p = fma(p, y, splat(_M6))
    p = fma(p, y, splat(_M5))
    p = fma(p, y, splat(_M4))
    p = fma(p, y, splat(_M3))
    p = fma(p, y, splat(_M2))
    p = fma(p, y, splat(_M1))
    p = fma(p, y, splat(_M0))
    tail = mul(p, exp(mul(mul(t, t), splat(np.float32(-0.5)))))
    return mul(x, choose_above(x, splat(np.float32(0)), sub(one, tail), tail))


@device
def gelu_tanh(x):
    """x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x ** 3): x / (1 + e ** -2u)."""
    cubed = fma(mul(mul(x, x), splat(_CUBE)), x, x)
    return div(x, add(splat(np.float32(1)), exp(mul(cubed, splat(_MINUS_2U)))))


@device
def relu_squared(x):
    """max(x, 0) ** 2."""
    return mul(maximum(x, splat(np.float32(0))), x)  # a NaN stays one


@device
def xielu(x, alpha_p, alpha_n, beta, eps):
    """beta x + alpha_p x**2 above 0, else beta x + alpha_n (e ** min(x, eps) - 1 - x).

    The alphas are those that are multiplied by. Source: arXiv:2411.13010.
    """
    above = mul(mul(x, x), splat(alpha_p))
    below = sub(sub(exp(minimum(x, splat(eps))), splat(np.float32(1))), x)
    below = mul(below, splat(alpha_n))
    return fma(x, splat(beta), choose_above(x, splat(np.float32(0)), above, below))


@device
def soft_cap(x, cap):
    """cap tanh(x / cap)."""
    return mul(tanh(div(x, splat(cap))), splat(cap))
