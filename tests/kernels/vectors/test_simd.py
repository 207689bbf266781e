"""Every vector operation against NumPy, on random and extreme values."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.vectors import scalars, simd, tiles

Call = Callable[..., None]

# Numbers at which float arithmetic changes its ways.
EXTREMES = np.array(
    [0, 1, 0.5, 2.0**-149, 2.0**-126, 2.0**-127, 1 + 2.0**-23, 65504, 3.4028235e38, np.inf],
    np.float32,
)
EXTREMES = np.concatenate([EXTREMES, -EXTREMES])


def _floats(n: int, seed: int = 0) -> np.ndarray:
    """n floats of every magnitude, the extremes among them; no NaN."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2**32, n, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x[np.isnan(x)] = 1.5
    x[: len(EXTREMES)] = EXTREMES
    return rng.permutation(x)


def _same(got: np.ndarray, expected: np.ndarray) -> bool:
    """Equal bits, with one NaN as good as another and the sign of zero looked at."""
    nan = np.isnan(expected)
    return bool(
        (np.isnan(got) == nan).all()
        and (got[~nan].view(np.uint32) == expected[~nan].view(np.uint32)).all()
    )


# --- elementwise ------------------------------------------------------------------------------


def fma(x, y, z, out, n):
    for i in range(n):
        at = 64 * i
        simd.store(
            out + at, simd.fma(simd.load(x + at), simd.load(y + at), simd.load(z + at))
        )  # fmt: skip


def test_the_twin_of_fma_is_exact(naive: ModuleType) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal(3000).astype(np.float32) for _ in range(2))
    c = -(a * b) * rng.choice(np.float32([0, 1, 1, 2.0**-20, 2.0**30]), 3000)
    # A sum just above a tie of float32 whose excess float64 loses: (1 + 2^-24) + 2^-70.
    a[0], b[0], c[0] = 2.0**-35, 2.0**-35, 1 + 2.0**-23
    a[1], b[1], c[1] = 1 + 2.0**-12, 1 + 2.0**-12, 2.0**-70
    got = naive.fma(a, b, c)
    for i in range(len(a)):
        exact = Fraction(float(a[i])) * Fraction(float(b[i])) + Fraction(float(c[i]))
        error = abs(Fraction(float(got[i])) - exact)
        for step in (np.float32(-np.inf), np.float32(np.inf)):
            other = Fraction(float(np.nextafter(got[i], step)))
            assert error <= abs(other - exact)


def test_fma_rounds_once(call: Call, naive: ModuleType) -> None:
    n = 1 << 16
    rng = np.random.default_rng(2)
    x, y = (rng.standard_normal(n).astype(np.float32) for _ in range(2))
    z = -(x * y) * rng.choice(np.float32([1, 1, 1 + 2.0**-23, 0, 2.0**24]), n)
    out = np.empty_like(x)
    call(fma, x, y, z, out, n // 16)
    expected = naive.fma(x, y, z)
    assert _same(out, expected)
    assert (expected != x * y + z).any()  # two roundings would not have passed


@cache
def _binary(name: str) -> Callable[..., None]:
    OP = getattr(simd, name)

    def binary(x, y, out, n):
        for i in range(n):
            simd.store(out + 64 * i, OP(simd.load(x + 64 * i), simd.load(y + 64 * i)))

    return binary


@pytest.mark.parametrize(
    "name, twin",
    [
        ("add", np.add),
        ("sub", np.subtract),
        ("mul", np.multiply),
        ("div", np.divide),
        ("maximum", lambda x, y: np.where(x > y, x, y)),
        ("minimum", lambda x, y: np.where(x < y, x, y)),
        ("larger_magnitude", lambda x, y: np.maximum(np.abs(x), np.abs(y))),
    ],
)
def test_binary_operations(call: Call, name: str, twin: Callable[..., np.ndarray]) -> None:
    x, y = _floats(1 << 14, 3), _floats(1 << 14, 4)
    x[::97] = np.nan
    y[::89] = np.nan
    y[::11] = x[::11]
    out = np.empty_like(x)
    call(_binary(name), x, y, out, len(x) // 16)
    with np.errstate(all="ignore"):
        assert _same(out, twin(x, y))


def absolute(x, out, n):
    for i in range(n):
        simd.store(out + 64 * i, simd.absolute(simd.load(x + 64 * i)))


def test_absolute(call: Call) -> None:
    x = _floats(1 << 12)
    out = np.empty_like(x)
    call(absolute, x, out, len(x) // 16)
    assert _same(out, np.abs(x))


def power_of_two(x, out, n):
    for i in range(n):
        simd.store(out + 64 * i, simd.power_of_two(simd.load(x + 64 * i)))


def test_power_of_two(call: Call) -> None:
    n = np.arange(-128, 128).astype(np.float32)
    out = np.empty_like(n)
    call(power_of_two, n + np.float32(simd.ROUND), out, len(n) // 16)
    assert (out[1] == 0) and (out[2:] == 2.0 ** n[2:].astype(np.float64)).all()


def add_to_each(x, y, out):
    sums = simd.add(tiles.load_column(x, 64, 4), simd.load(y))
    tiles.save_tile(sums, out, 64, 0, 4, 1)


def test_a_vector_meets_each_of_a_tile(call: Call) -> None:
    x, y = _floats(64, 5).reshape(4, 16), _floats(32, 6)[:16]
    out = np.empty_like(x)
    call(add_to_each, x, y, out)
    with np.errstate(all="ignore"):
        assert _same(out, x + y)


def add_all(total, x, out):
    simd.store(out, simd.add_all(simd.load(total), tiles.load_column(x, 64, 4)))


def test_add_all_adds_one_after_another(call: Call) -> None:
    rng = np.random.default_rng(7)
    total, x = (rng.standard_normal((n, 16)).astype(np.float32) for n in (1, 4))
    out = np.empty_like(total[0])
    call(add_all, total, x, out)
    in_order = total[0] + x[0] + x[1] + x[2] + x[3]
    assert (out == in_order).all()
    assert (in_order != total[0] + ((x[0] + x[1]) + (x[2] + x[3]))).any()


def max_all(largest, x, out):
    simd.store(out, simd.max_all(simd.load(largest), tiles.load_column(x, 64, 4)))


def test_max_all(call: Call) -> None:
    largest, x = (np.random.default_rng(8).standard_normal((n, 16), "f4") for n in (1, 4))
    x[1, 3] = np.nan
    out = np.empty_like(largest[0])
    call(max_all, largest, x, out)
    assert (out == np.fmax.reduce([largest[0], *x])).all()


def keep_first(x, n, other, out):
    simd.store(out, simd.keep_first(simd.load(x), n, simd.load(other)))


@pytest.mark.parametrize("n", [-300, -1, 0, 1, 7, 15, 16, 17, 400])
def test_keep_first(call: Call, n: int) -> None:
    x, other = np.arange(16, dtype=np.float32), -np.arange(100, 116, dtype=np.float32)
    out = np.empty_like(x)
    call(keep_first, x, n, other, out)
    assert (out == np.where(np.arange(16) < n, x, other)).all()


# --- reductions -------------------------------------------------------------------------------


def reductions(x, sums, tops, firsts, splats, n):
    for i in range(n):
        v = simd.load(x + 64 * i)
        scalars.put_f32(sums + 4 * i, simd.sum_lanes(v))
        scalars.put_f32(tops + 4 * i, simd.max_lanes(v))
        scalars.put_f32(firsts + 4 * i, simd.first_lane(v))
        simd.store(splats + 64 * i, simd.splat(scalars.get_f32(x + 64 * i + 4)))


def test_reductions_have_their_fixed_order(call: Call, naive: ModuleType) -> None:
    rng = np.random.default_rng(5)
    x = (rng.standard_normal((4096, 16)) * 10.0 ** rng.integers(-6, 6, (4096, 16))).astype("f4")
    sums, tops, firsts = (np.empty(len(x), np.float32) for _ in range(3))
    splats = np.empty_like(x)
    call(reductions, x, sums, tops, firsts, splats, len(x))
    expected = naive.sum_halves(x)
    assert (sums == expected).all()
    assert (expected != x.sum(1)).any()  # another order would not have passed
    assert (tops == x.max(1)).all()
    assert (firsts == x[:, 0]).all()
    assert (splats == x[:, 1:2]).all()


# --- half precision, bfloat16 and bytes -------------------------------------------------------

HALVES = np.arange(1 << 16, dtype=np.uint16)


@cache
def _loader(name: str, nbytes: int) -> Callable[..., None]:
    LOAD, NBYTES = getattr(simd, name), nbytes

    def vectors(source, out, n):
        for i in range(n):
            simd.store(out + 64 * i, LOAD(source + 16 * NBYTES * i))

    return vectors


def half_scalars(source, out, n):
    for i in range(n):
        scalars.put_f32(out + 4 * i, scalars.get_f16(source + 2 * i))


def test_all_halves_are_widened_exactly(call: Call) -> None:
    expected = HALVES.view(np.float16).astype(np.float32)
    for function, n in ((_loader("load_f16", 2), 4096), (half_scalars, 65536)):
        out = np.empty(1 << 16, np.float32)
        call(function, HALVES, out, n)
        assert _same(out, expected), function.__name__


def store_half(x, out, n):
    for i in range(n):
        simd.store_f16(out + 32 * i, simd.load(x + 64 * i))


def put_half(x, out, n):
    for i in range(n):
        scalars.put_f16(out + 2 * i, scalars.get_f32(x + 4 * i))


def _floats_to_narrow() -> np.ndarray:
    """Every half, its ties and the floats beside them, values of all magnitudes, NaN."""
    half = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    tie = (half[:-1] + half[1:]) / 2  # exact: a half has 11 bits
    tie = np.append(tie, np.float32(65520))  # rounds to infinity
    near = [np.nextafter(tie, np.float32(s)) for s in (-np.inf, np.inf)]
    rng = np.random.default_rng(6)
    scaled = rng.standard_normal(400_000) * 2.0 ** rng.integers(-30, 18, 400_000)
    x = np.concatenate([half, tie, *near, _floats(400_000, 7), scaled.astype(np.float32)])
    x = np.concatenate([x, -x, [np.nan]]).astype(np.float32)
    return np.resize(x, -(-len(x) // 16) * 16)


def test_floats_are_rounded_to_halves_as_numpy_does(call: Call) -> None:
    x = _floats_to_narrow()
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    for function, n in ((store_half, len(x) // 16), (put_half, len(x))):
        out = np.empty(len(x), np.float16)
        call(function, x, out, n)
        nan = np.isnan(expected)
        assert (np.isnan(out) == nan).all(), function.__name__
        same = out[~nan].view(np.uint16) == expected[~nan].view(np.uint16)
        assert same.all(), (function.__name__, x[~nan][~same][:5])


def round_bytes(x, out, sums, n):
    for i in range(n):
        scalars.put_i32(sums + 4 * i, simd.store_rounded_i8(out + 16 * i, simd.load(x + 64 * i)))


def test_bytes_are_rounded_half_to_even(call: Call) -> None:
    ties = np.arange(-126.5, 127, 0.5)
    near = [np.nextafter(ties.astype("f4"), np.float32(s)) for s in (-np.inf, np.inf)]
    rng = np.random.default_rng(8)
    x = np.concatenate([ties, *near, rng.uniform(-127, 127, 5000), [127, -127]]).astype("f4")
    x = np.resize(x, (len(x) // 16 + 1, 16))
    out, sums = np.empty(x.shape, np.int8), np.empty(len(x), np.int32)
    call(round_bytes, x, out, sums, len(x))
    assert (out == np.rint(x)).all()
    assert (sums == out.sum(1, dtype=np.int32)).all()


def largest_magnitudes(x, tops, n):
    for i in range(n):
        scalars.put_f32(tops + 4 * i, simd.largest_magnitude(simd.load(x + 64 * i)))


def test_largest_magnitude_hides_no_nan(call: Call) -> None:
    x = _floats(64 * 16, 9).reshape(64, 16)
    for i in range(16):
        x[i, i] = np.nan
    tops = np.empty(len(x), np.float32)
    call(largest_magnitudes, x, tops, len(x))
    assert _same(tops, np.abs(x).max(axis=1)) and np.isnan(tops[:16]).all()
