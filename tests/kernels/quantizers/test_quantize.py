"""Floats to blocks and back: against the gguf package, ggml's quantizers and exhaustive search."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.quantizers.quantize import READ_ONLY, dequantize, quantize, quantizer
from tests.kernels.checked import CHECKED

F32 = np.ndarray
GOLDEN = Path(__file__).resolve().parents[2] / "data" / "golden_quantizers.json"
ERRORS = json.loads(GOLDEN.read_text("utf-8"))["errors"]
TERNARY = {"Q1_0", "Q2_0", "TQ1_0", "TQ2_0"}
SMALL = {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"}
SAME = [name for name in CHECKED if name in {"F32", "F16", "BF16", *SMALL, *TERNARY}]
SEARCHED = [name for name in CHECKED if name in {*SMALL, *ERRORS}]
WRITTEN = [name for name in CHECKED if FORMATS[name] not in READ_ONLY]
# Of 4 rows of 512 numbers made from raw bits: the same on every machine and instruction set.
DIGESTS = {
    "Q4_0": "fc6331c1c0a2e028", "Q4_1": "aff1ac979d6f54e8", "Q5_0": "474324bb94c54e5e",
    "Q5_1": "c199fdadadb4c833", "Q8_0": "b4b250d2ae9adba5", "Q2_K": "099d46503a63328b",
    "Q3_K": "093b7cff04b0e5ce", "Q4_K": "4592e2fbb8d737a8", "Q5_K": "fec8b93550d34947",
    "Q6_K": "4bd0d95e02ca8d95", "IQ4_NL": "5ade175797ea220c", "IQ4_XS": "df58b789fa8a8980",
    "MXFP4": "7f09a6c8b8e662b8",
}  # fmt: skip


def _theirs(x: F32, name: str) -> F32:
    if name in ("Q1_0", "Q2_0"):
        return _young(x, name)
    kind = gguf.GGMLQuantizationType[name]
    with np.errstate(all="ignore"):
        return gguf.quantize(x, kind).view(np.uint8).reshape(len(x), -1)


def _young(x: F32, name: str) -> F32:
    """ggml's quantize_row_q1_0_ref and quantize_row_q2_0_ref."""
    blocks = x.reshape(-1, FORMATS[name].block_size)
    if name == "Q1_0":
        d = np.add.accumulate(np.abs(blocks), -1, dtype=np.float32)[:, -1:] / np.float32(128)
        qs = np.packbits(blocks >= 0, axis=-1, bitorder="little")
    else:
        d = np.abs(blocks).max(-1, keepdims=True)
        with np.errstate(divide="ignore"):
            scaled = blocks * np.where(d == 0, np.float32(0), np.float32(1) / d)
        codes = (gguf.quants.np_roundf(scaled) + 1).astype(np.uint8).reshape(len(blocks), -1, 4)
        qs = np.bitwise_or.reduce(codes << np.array([0, 2, 4, 6], np.uint8), -1)
    return np.concatenate([d.astype("<f2").view(np.uint8), qs], -1).reshape(len(x), -1)


def _raw(n_rows: int, n: int) -> F32:
    """Numbers from raw bits: a sum of uniforms, so that large ones are rare."""
    raw = np.random.PCG64(3).random_raw((n_rows * n, 4)) >> np.uint64(40)
    unit = raw.astype(np.float64) / 2.0**23 - 1.0
    return (unit.prod(1) + 0.1 * unit.sum(1)).astype(np.float32).reshape(n_rows, n)


@pytest.fixture(scope="module")
def made(benchmark_module: Callable[[str], ModuleType]) -> Callable[[str], F32]:
    return benchmark_module("make_quantizer_golden").rows


numbers = st.one_of(
    st.floats(-4, 4, width=32),
    st.integers(-8, 8).map(float),
    st.integers(-16, 16).map(lambda i: i / 4),
    st.floats(-(2.0**-14), 2.0**-14, width=32, allow_subnormal=False),
)


@pytest.mark.parametrize("name", SAME)
@given(x=hnp.arrays(np.float32, (3, 64), elements=numbers))
@settings(max_examples=150)
def test_bytes_are_those_of_the_gguf_package(name: str, x: F32) -> None:
    x = np.tile(x, max(FORMATS[name].block_size // 64, 1))
    # Where a scale has no finite inverse, gguf casts infinity to a byte, which means nothing.
    x = np.where(np.abs(x) < 1e-30, np.float32(0), x)
    if name == "MXFP4":  # whose logarithm just below a power of two would be rounded up to it
        x = (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert (quantize(x, FORMATS[name]) == _theirs(x, name)).all()


@pytest.mark.parametrize("name", SAME)
def test_many_rows_as_the_gguf_package(name: str) -> None:
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.uniform(-5, 3, (500, 1))
    width = 256 if name in TERNARY else 160
    x = (rng.standard_t(3, (500, width)) * scales).astype(np.float32)
    x[7] = 0
    assert (quantize(x, FORMATS[name]) == _theirs(x, name)).all()


@pytest.mark.parametrize("name", [n for n in CHECKED if FORMATS[n].is_quantized])
def test_random_blocks_mean_what_the_gguf_package_says(name: str, blocks: ModuleType) -> None:
    fmt, rng = FORMATS[name], np.random.default_rng(1)
    data = blocks.random_rows(rng, name, 40, 1024)
    if fmt.is_power:  # up to numbers that floats hold
        data.view(fmt.dtype)["e"] = rng.integers(0, 250, (40, 1024 // fmt.block_size))
    ours, theirs = dequantize(data, fmt, 1024), blocks.floats(name, data)
    assert (ours.view(np.uint32) == theirs.view(np.uint32)).all()


@pytest.mark.parametrize("n", [1, 16, 17, 1 << 16])
def test_half_precision_is_widened_as_numpy_does(n: int) -> None:
    halves = np.arange(1 << 16, dtype=np.uint16)[: (1 << 16) // n * n].view(np.float16)
    got = dequantize(halves.view(np.uint8).reshape(-1, 2 * n), FORMATS["F16"], n, threads=2)
    expected = halves.astype(np.float32).reshape(-1, n)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    is_number = ~np.isnan(expected)
    assert (got.view(np.uint32) == expected.view(np.uint32))[is_number].all()


@pytest.mark.parametrize("name", ["F16", "BF16", "F32"])
def test_numbers_come_back(name: str) -> None:
    x = np.float32([[0.0, -1.5, 2.0**-10, 65504.0]])
    assert (dequantize(quantize(x, FORMATS[name]), FORMATS[name], 4)[0, :3] == x[0, :3]).all()


@pytest.mark.parametrize("given", [None, np.ones(1024, np.float32)], ids=["plain", "importance"])
def test_what_mxfp4_holds_comes_back(given: F32 | None) -> None:
    """Also of blocks whose largest code is a small one: calibration quantizes them again."""
    fmt, rng = FORMATS["MXFP4"], np.random.default_rng(2)
    blocks = rng.integers(0, 256, (200, fmt.row_nbytes(1024)), dtype=np.uint8).view(fmt.dtype)
    blocks["qs"] &= rng.choice(np.uint8([0xFF, 0xBB, 0x99, 0xAA, 0x88]), blocks.shape)[..., None]
    blocks["e"] = rng.integers(90, 150, blocks.shape)
    x = dequantize(blocks.view(np.uint8).reshape(200, -1), fmt, 1024)
    assert (dequantize(quantize(x, fmt, importance=given), fmt, 1024) == x).all()


def _lost(x: F32, name: str, **options: object) -> float:
    back = dequantize(quantize(x, FORMATS[name], **options), FORMATS[name], x.shape[1])
    return float(((back - x) ** 2).sum() / (x**2).sum())


@pytest.mark.parametrize("name", [name for name in ERRORS if name in CHECKED])
@pytest.mark.parametrize("distribution", next(iter(ERRORS.values())))
def test_what_is_searched_for_loses_less_than_with_ggml(
    name: str, distribution: str, made: Callable[[str], F32]
) -> None:
    assert _lost(made(distribution), name) < ERRORS[name][distribution]


@pytest.mark.parametrize("name", SEARCHED)
def test_importance_lowers_the_error_that_counts(name: str, made: Callable[[str], F32]) -> None:
    x = made("heavy")
    importance = np.random.default_rng(5).lognormal(0, 1.5, x.shape[1]).astype(np.float32)
    fmt = FORMATS[name]

    def lost(importance_given: F32 | None) -> float:
        data = quantize(x, fmt, importance=importance_given)
        return float((importance * (dequantize(data, fmt, x.shape[1]) - x) ** 2).sum())

    assert lost(importance) < lost(None)


def test_the_search_is_close_to_an_exhaustive_one() -> None:
    """Every scale that half precision has, with the best codes each."""
    x = _raw(4, 32)
    flat = np.ones(32, np.float32)
    rms = np.sqrt((x.astype(np.float64) ** 2).mean(1, keepdims=True))
    weight = 2 * rms + np.abs(x)
    top = np.abs(x).max()
    halves = np.arange(1 << 15, dtype=np.uint16).view(np.float16).astype(np.float64)
    halves = halves[(halves > top / 24) & (halves < top / 4)]
    scales = np.concatenate([halves, -halves])
    data = quantize(x, FORMATS["Q4_0"], importance=flat)
    error = (weight * (dequantize(data, FORMATS["Q4_0"], 32) - x) ** 2).sum(1)
    q = np.clip(np.rint(x[:, None] / scales[:, None]), -8, 7)
    least = (weight[:, None] * (q * scales[:, None] - x[:, None]) ** 2).sum(-1).min(1)
    assert (error < 1.01 * least).all()


@pytest.mark.parametrize("name", SEARCHED)
def test_the_same_bytes_everywhere(name: str) -> None:
    data = quantize(_raw(4, 512), FORMATS[name])
    assert hashlib.sha256(data.tobytes()).hexdigest()[:16] == DIGESTS[name]


@pytest.mark.parametrize("name", SEARCHED)
def test_what_the_scratch_held_does_not_matter(name: str, call: Callable[..., None]) -> None:
    fmt, x = FORMATS[name], _raw(5, 512)
    x *= np.array([[1], [0], [1e-36], [1e8], [1e30]], np.float32)
    n_blocks = x.size // fmt.block_size
    seen = []
    for byte in (0, 255):
        scratch, out = (
            np.full(1 << 16, byte, np.uint8),
            np.empty((5, fmt.row_nbytes(512)), np.uint8),
        )
        call(quantizer(fmt), x, 0, out, n_blocks, n_blocks // 5, scratch)
        seen.append(out)
    assert (seen[0] == seen[1]).all()


@pytest.mark.parametrize("name", SEARCHED)
def test_neither_threads_nor_neighbours_matter(name: str) -> None:
    fmt, x = FORMATS[name], np.random.default_rng(6).standard_normal((700, 768), np.float32)
    importance = np.linspace(0.1, 2, 768, dtype=np.float32)
    for given_importance in (None, importance):
        whole = quantize(x, fmt, importance=given_importance)
        assert (quantize(x, fmt, importance=given_importance, threads=3) == whole).all()
        rows = [quantize(x[i : i + 1], fmt, importance=given_importance) for i in (0, 1, 699)]
        assert (np.concatenate(rows) == whole[[0, 1, 699]]).all()
    back = dequantize(whole, fmt, 768)
    assert (dequantize(whole, fmt, 768, threads=3) == back).all()


@pytest.mark.parametrize("name", SEARCHED)
def test_extreme_blocks(name: str) -> None:
    fmt = FORMATS[name]
    zero = np.zeros((1, 256), np.float32)
    one = zero.copy()
    one[0, 100] = -3
    same = np.full((1, 256), 0.25, np.float32)
    tiny = np.full((1, 256), 1e-30, np.float32)
    for x, most in ((zero, 0), (one, 0.01), (same, 1e-3), (tiny, 1e-29)):
        for importance in (None, np.ones(256, np.float32), np.zeros(256, np.float32)):
            back = dequantize(quantize(x, fmt, importance=importance), fmt, 256)
            assert np.isfinite(back).all()
            if importance is None or importance.any():
                # IQ4 has no zero, and Q2_K few codes.
                coarse = 10 if name in ("Q2_K", "IQ4_NL", "IQ4_XS") else 1
                assert np.abs(back - x).max() <= most * coarse


@pytest.mark.parametrize("name", WRITTEN)
def test_what_cannot_be_quantized(name: str) -> None:
    fmt = FORMATS[name]
    for bad in (np.nan, np.inf, -np.inf):
        x = np.zeros((3, 256), np.float32)
        x[2, 77] = bad
        with pytest.raises(ValueError, match="NaN or infinite"):
            quantize(x, fmt, threads=2)
    if fmt.is_quantized:
        with pytest.raises(ValueError, match="multiple"):
            quantize(np.zeros((1, 33), np.float32), fmt)
        with pytest.raises(ValueError, match="finite numbers from 0"):
            quantize(np.zeros((1, 256), np.float32), fmt, importance=-np.ones(256, np.float32))
    if name != "F32":
        with pytest.raises(ValueError, match="too large"):
            quantize(np.full((1, 256), 3.4e38, np.float32), fmt)
    if fmt.is_quantized:
        for size in 10.0 ** np.arange(10 if fmt.is_power else 9, 39):
            x = np.linspace(-size, size, 256, dtype=np.float32)[None]
            for importance in (None, np.ones(256, np.float32)):
                with pytest.raises(ValueError, match="too large"):
                    quantize(x, fmt, importance=importance)
    with pytest.raises(ValueError, match="bytes are not"):
        dequantize(np.zeros((1, 7), np.uint8), fmt, 256)


@pytest.mark.parametrize("fmt", READ_ONLY, ids=lambda fmt: fmt.name)
def test_types_that_are_only_read(fmt: BlockFormat) -> None:
    with pytest.raises(ValueError, match=f"{fmt.name} is a type that is read"):
        quantize(np.zeros((1, 256), np.float32), fmt)
