"""Every vector operation against NumPy, on random and extreme values."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels import simd, tiles

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
    x = np.arange(-128, 128).astype(np.float32)
    out = np.empty_like(x)
    call(power_of_two, x, out, len(x) // 16)
    assert (out[1] == 0) and (out[2:] == 2.0 ** x[2:].astype(np.float64)).all()


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
        simd.put_f32(sums + 4 * i, simd.sum_lanes(v))
        simd.put_f32(tops + 4 * i, simd.max_lanes(v))
        simd.put_f32(firsts + 4 * i, simd.first_lane(v))
        simd.store(splats + 64 * i, simd.splat(simd.get_f32(x + 64 * i + 4)))


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
        simd.put_f32(out + 4 * i, simd.get_f16(source + 2 * i))


def half_columns(source, out, n):
    for i in range(0, n, 2):
        pair = tiles.load_column_f16(source + 32 * i, 32, 2)
        tiles.store_tile(pair, out + 64 * i, 64, 0, 0, 2, 1)


def test_all_halves_are_widened_exactly(call: Call) -> None:
    expected = HALVES.view(np.float16).astype(np.float32)
    for function, n in (
        (_loader("load_f16", 2), 4096),
        (half_scalars, 65536),
        (half_columns, 4096),
    ):
        out = np.empty(1 << 16, np.float32)
        call(function, HALVES, out, n)
        assert _same(out, expected), function.__name__


def store_half(x, out, n):
    for i in range(n):
        simd.store_f16(out + 32 * i, simd.load(x + 64 * i))


def put_half(x, out, n):
    for i in range(n):
        simd.put_f16(out + 2 * i, simd.get_f32(x + 4 * i))


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


def bf16_columns(source, out, n):
    for i in range(0, n, 2):
        pair = tiles.load_column_bf16(source + 32 * i, 32, 2)
        tiles.store_tile(pair, out + 64 * i, 64, 0, 0, 2, 1)


def test_all_bfloat16_numbers_are_widened_exactly(call: Call) -> None:
    expected = (HALVES.astype(np.uint32) << 16).view(np.float32)
    for function in (_loader("load_bf16", 2), bf16_columns):
        out = np.empty(1 << 16, np.float32)
        call(function, HALVES, out, 4096)
        assert _same(out, expected), function.__name__


def round_bytes(x, out, sums, n):
    for i in range(n):
        simd.put_i32(sums + 4 * i, simd.store_rounded_i8(out + 16 * i, simd.load(x + 64 * i)))


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


def scalars(source, out):
    simd.put_f32(out, simd.get_f32(source))
    simd.put_i32(out + 4, simd.get_i32(source + 5))
    simd.put_i32(out + 8, np.int32(simd.get_u8(source + 7)))
    simd.put_i32(out + 12, np.int32(simd.get_u16(source + 9)))
    simd.put_u16(out + 16, simd.get_u16(source + 11))
    simd.put_i32(out + 18, np.int32(simd.get_i64(source + 3) >> 32))


def test_scalars_at_odd_addresses(call: Call) -> None:
    source = np.random.default_rng(9).integers(128, 256, 24).astype(np.uint8)
    source[:4] = np.frombuffer(np.float32(1.25).tobytes(), np.uint8)
    out = np.zeros(24, np.uint8)
    call(scalars, source, out)
    raw, got = source.tobytes(), out.tobytes()
    assert got[:4] == raw[:4]
    assert got[4:8] == raw[5:9]
    assert int.from_bytes(got[8:12], "little") == raw[7]
    assert int.from_bytes(got[12:16], "little") == int.from_bytes(raw[9:11], "little")
    assert got[16:18] == raw[11:13]
    assert got[18:22] == raw[7:11]


# --- register tiles ---------------------------------------------------------------------------


@cache
def _dot_kernel(signed: bool, offset: int, r: int, t: int) -> Callable[..., None]:
    SIGNED, OFFSET, R, T = int(signed), offset, r, t

    # Sums are below 2**24, so a scale of 1 shows them exactly as floats.
    def dots(codes, x, sums, ones16, ones, out, n):
        for i in range(n):
            acc = tiles.dot_start(sums + 4 * T * i, 4, OFFSET, R, T)
            tile = tiles.load_codes(codes + 64 * R * i, 64, R)
            at = x + 4 * T * i
            if SIGNED:
                acc = tiles.dot_signed(acc, tile, at, 4)
            else:
                acc = tiles.dot(acc, tile, at, 4)
            shown = tiles.add_scaled(tiles.zeros(R, T), acc, ones16, 0, ones, 0, R, T)
            tiles.store_tile(shown, out + 64 * R * T * i, 64, 64 * R, 0, R, T)

    return dots


@pytest.mark.parametrize("r, t", [(1, 1), (2, 4), (3, 2)])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_dot_products_are_exact(call: Call, signed: bool, r: int, t: int) -> None:
    n = 2000
    low, high = (-128, 127) if signed else (0, 127)
    rng = np.random.default_rng(10)
    codes = rng.integers(low, high + 1, (n, r, 16, 4))
    x = rng.integers(-127, 128, (n, t, 4))
    # All products of a lane at their largest, of one sign and of both: saturation would show.
    codes[: n // 2] = rng.choice([low, high, 0, 15], (n // 2, r, 16, 4))
    x[: n // 2] = rng.choice([-127, 127], (n // 2, t, 4))
    codes[:4, ..., :], x[:4, ..., :] = low, np.array([127, -127, 127, -127])[:, None, None]
    codes[4:8, ..., :], x[4:8, ..., :] = high, np.array([127, -127, 127, -127])[:, None, None]
    sums = x.sum(-1).astype(np.int32)
    offset = 8
    out = np.empty((n, t, r, 16), np.float32)
    raw = codes.astype(np.int8 if signed else np.uint8)
    ones16, ones = np.ones(16, np.float16), np.ones(1, np.float32)
    total = offset + tiles.signed_offset() if signed else offset
    call(_dot_kernel(signed, total, r, t), raw, x.astype(np.int8), sums, ones16, ones, out, n)
    assert (out == np.einsum("nrlj,ntj->ntrl", codes - offset, x)).all()


@cache
def _nibbles(name: str) -> Callable[..., None]:
    OP = getattr(tiles, name)

    def nibbles(codes, x, sums, ones16, ones, out, n):
        for i in range(n):
            tile = OP(tiles.load_codes(codes + 128 * i, 64, 2))
            acc = tiles.dot(tiles.dot_start(sums, 4, 0, 2, 1), tile, x, 0)
            shown = tiles.add_scaled(tiles.zeros(2, 1), acc, ones16, 0, ones, 0, 2, 1)
            tiles.store_tile(shown, out + 128 * i, 64, 0, 0, 2, 1)

    return nibbles


@pytest.mark.parametrize("name", ["low_nibbles", "high_nibbles"])
def test_nibbles(call: Call, name: str) -> None:
    codes = np.random.default_rng(11).permutation(np.arange(2048) % 256).astype(np.uint8)
    ones16, ones = np.ones(16, np.float16), np.ones(1, np.float32)
    expected = (codes & 15 if name == "low_nibbles" else codes >> 4).reshape(-1, 4)
    for j in range(4):
        x = np.zeros(4, np.int8)
        x[j] = 1
        out = np.empty(512, np.float32)
        call(_nibbles(name), codes, x, np.zeros(1, np.int32), ones16, ones, out, 16)
        assert (out == expected[:, j]).all()


def tile_sums(acc, codes, x, sums, d, m, scales, out, add):
    """A tile of 2 panels x 3 tokens: acc + codes * x * d * s, + m * s * sum, stored or added."""
    tile = tiles.load_codes(codes, 64, 2)
    dots = tiles.dot(tiles.dot_start(sums, 4, 0, 2, 3), tile, x, 4)
    total = tiles.zeros(2, 3)
    total = tiles.add_outer(total, tiles.load_column(acc, 64, 2), scales, 4, 3)
    total = tiles.add_scaled(total, dots, d, 32, scales, 4, 2, 3)
    total = tiles.add_minima(total, m, 32, scales, sums, 4, 2, 3)
    tiles.store_tile(total, out, 64, 128, add, 2, 3)


@pytest.mark.parametrize("add", [0, 1])
def test_tiles_add_up_with_one_rounding_per_step(call: Call, naive: ModuleType, add: int) -> None:
    rng = np.random.default_rng(12)
    column = rng.standard_normal(32).astype(np.float32)
    codes = rng.integers(0, 128, (32, 4)).astype(np.uint8)
    x = rng.integers(-127, 128, (3, 4)).astype(np.int8)
    sums = rng.integers(-4000, 4000, 3).astype(np.int32)
    d, m = (rng.standard_normal(32).astype(np.float16) for _ in range(2))
    scales = rng.standard_normal(3).astype(np.float32)
    before = rng.standard_normal((3, 32)).astype(np.float32)
    out = before.copy()
    call(tile_sums, column, codes, x, sums, d, m, scales, out, add)
    dots = (x.astype(np.int32) @ codes.astype(np.int32).T).astype(np.float32)
    s = scales[:, None]
    expected = naive.fma(column, s, np.float32(0))
    expected = naive.fma(dots, d.astype(np.float32) * s, expected)
    expected = naive.fma(m.astype(np.float32), s * sums[:, None].astype(np.float32), expected)
    assert (out == (before + expected if add else expected)).all()
