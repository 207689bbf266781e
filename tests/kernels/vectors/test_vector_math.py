"""exp, tanh and activations against float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from halfbyte.kernels.vectors import simd, vector_math

Call = Callable[..., None]


def exp(x, out, n):
    for i in range(n):
        simd.store(out + 64 * i, vector_math.exp(simd.load(x + 64 * i)))


def silu(x, out, n):
    for i in range(n):
        simd.store(out + 64 * i, vector_math.silu(simd.load(x + 64 * i)))


def _apply(call: Call, function: Callable[..., None], x: np.ndarray) -> np.ndarray:
    padded = np.resize(x, -(-len(x) // 16) * 16).astype(np.float32)
    out = np.empty_like(padded)
    call(function, padded, out, len(padded) // 16)
    return out[: len(x)]


def _ulps(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    return np.abs(got.astype(np.float64) - exact) / np.spacing(exact.astype(np.float32))


def test_exp_is_within_two_units_in_the_last_place(call: Call) -> None:
    # Below -87.3 results are subnormal, which a scale of 2**n still rounds correctly to 1 unit.
    x = np.concatenate(
        [np.linspace(-87.6, 88, 2_000_003), np.linspace(-1, 1, 500_003), [1e-30, -1e-30]]
    ).astype(np.float32)
    assert _ulps(_apply(call, exp, x), np.exp(x.astype(np.float64))).max() <= 2


def test_exp_at_its_ends(call: Call) -> None:
    got = _apply(call, exp, np.float32([0, -0.0, -88, -100, -200, -3e38, -np.inf]))
    assert got.tolist() == [1, 1, 0, 0, 0, 0, 0]
    large = _apply(call, exp, np.float32([88, 89, 3e38, np.inf]))
    assert np.isfinite(large).all() and (large == large[0]).all()


def test_exp_never_falls(call: Call) -> None:
    # Softmax needs it: the largest score must keep the largest weight.
    x = np.linspace(-90, 89, 1_000_003).astype(np.float32)
    y = _apply(call, exp, x).astype(np.float64)
    assert (np.diff(y) >= -np.spacing(y[1:].astype(np.float32))).all()


def test_silu_is_close_to_float64(call: Call) -> None:
    x = np.concatenate([np.linspace(-85, 85, 1_000_003), np.linspace(-1, 1, 100_003)]).astype("f4")
    exact = x.astype(np.float64)
    exact /= 1 + np.exp(-exact)
    # exp is within 2 units, the sum and the quotient round once each.
    assert (np.abs(_apply(call, silu, x) - exact) <= np.abs(exact) * 4 * 2.0**-23).all()


def test_silu_at_its_ends(call: Call) -> None:
    x = np.float32([0, -0.0, 100, 1e30, -100, -1e4])
    got = _apply(call, silu, x)
    assert got[:4].tolist() == [0, 0, 100, np.float32(1e30)]
    assert (got[4:] <= 0).all() and (np.abs(got[4:]) < 1e-30).all()


@cache
def _unary(name: str) -> Callable[..., None]:
    OP = getattr(vector_math, name)

    def unary(x, out, n):
        for i in range(n):
            simd.store(out + 64 * i, OP(simd.load(x + 64 * i)))

    return unary


_PHI = np.frompyfunc(lambda x: math.erfc(-x / math.sqrt(2)) / 2, 1, 1)
_EXACT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "gelu": lambda x: x * _PHI(x).astype(np.float64),
    "gelu_tanh": lambda x: x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2,
    "softplus": lambda x: np.logaddexp(0, x),
    "relu_squared": lambda x: np.maximum(x, 0) ** 2,
}


@pytest.mark.parametrize("name", _EXACT)
def test_functions_are_those_of_float64(call: Call, name: str) -> None:
    x = np.concatenate([np.linspace(-9, 9, 40_003), np.geomspace(1e-12, 3e3, 4001)]).astype("f4")
    x = np.concatenate([x, -x])
    got, exact = _apply(call, _unary(name), x), _EXACT[name](x.astype(np.float64))
    assert (np.abs(got - exact) <= 1e-6 * np.abs(exact) + 1e-7 * np.minimum(np.abs(x), 1)).all()
    assert not np.isfinite(_apply(call, _unary(name), np.full(16, np.nan, np.float32))).any()
