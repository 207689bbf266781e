"""The matrix products against twins that round alike, with `==`."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import gguf
import numpy as np
import pytest

from halfbyte.kernels.layouts.packing import pack
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, n_panels
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.products.matmul import NARROW, matmul_kernel, tile_tokens, ways
from tests.kernels.checked import CHECKED

Call = Callable[..., None]
FORMATS = CHECKED
QUANTIZED = [name for name in FORMATS if PANEL_FORMATS[name].is_quantized]
# Rows and inputs: less than a strip, an odd number of panels, a single block, many blocks.
SHAPES = [(1, 32), (17, 64), (32, 32), (70, 160), (96, 1056)]


class Case:
    """A random matrix in a format, its packed form and a product with any tile."""

    def __init__(
        self, call: Call, naive: ModuleType, blocks: ModuleType, pool: Pool, name: str, shape: tuple
    ) -> None:
        self.call, self.naive, self.blocks, self.name = call, naive, blocks, name
        self.fmt, (self.n_rows, self.n_inputs) = PANEL_FORMATS[name], shape
        self.rng = np.random.default_rng(sum(shape))
        if self.fmt.is_quantized:
            self.rows = blocks.random_rows(self.rng, name, *shape)
        else:
            w = self.rng.standard_normal(shape).astype(np.float32)
            kind = gguf.GGMLQuantizationType[name]
            self.rows = gguf.quants.quantize(w, kind).view(np.uint8).reshape(self.n_rows, -1)
        self.weights = blocks.floats(name, self.rows).reshape(shape)
        self.packed = np.empty(self.fmt.nbytes(*shape), np.uint8)
        pack(pool, self.rows, self.fmt, self.n_inputs, self.packed)

    def activations(self, n_tokens: int) -> np.ndarray:
        """Records (K / 32, T), or floats (T, K)."""
        x = self.rng.standard_normal((n_tokens, self.n_inputs)).astype(np.float32)
        return self.naive.quantize_activations(x) if self.fmt.is_quantized else x

    def product(
        self, x: np.ndarray, way: str, *, strips: tuple[int, int] | None = None,
        y: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """y (T, padded rows); given a y, the product is added to it."""
        is_records = x.dtype.names is not None
        n_tokens, stride = (x.shape[1] if is_records else len(x)), x.strides[0]
        rest = (tile_tokens(way) - 1) * (x.itemsize if is_records else stride)
        room = np.full(x.nbytes + rest, 0xA5, np.uint8)  # what a last tile may read, and not use
        room[: x.nbytes] = x.view(np.uint8).ravel()
        n = n_panels(self.n_rows)
        begin, end = strips or (0, n // 2)
        out = np.full((n_tokens, 16 * n), np.nan, np.float32) if y is None else y.copy()
        self.call(
            matmul_kernel(self.name, way), self.packed, n, self.fmt.n_units(self.n_inputs),
            begin, end, room, stride, n_tokens, out, 64 * n, int(y is not None),
        )  # fmt: skip
        return out

    def twin(self, x: np.ndarray) -> np.ndarray:
        """y (T, rows) by naive.py."""
        if not self.fmt.is_quantized:
            return self.naive.matmul_floats(self.weights, x)
        return self.naive.matmul_blocks(*self.blocks.take_apart(self.name, self.rows), x)


@pytest.fixture
def case(call: Call, naive: ModuleType, blocks: ModuleType, pool2: Pool) -> Callable[..., Case]:
    """Makes a case; a K type's rows are the next multiple of its block."""

    def make(name: str, shape: tuple[int, int]) -> Case:
        block = PANEL_FORMATS[name].source.block_size
        n_inputs = -(-shape[1] // block) * block
        return Case(call, naive, blocks, pool2, name, (shape[0], n_inputs))

    return make


def _tokens(x: np.ndarray, which: slice) -> np.ndarray:
    return np.ascontiguousarray(x[:, which] if x.dtype.names else x[which])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_product_is_the_twins(case: Callable[..., Case], name: str, shape: tuple) -> None:
    c = case(name, shape)
    x = c.activations(37)
    expected = c.twin(x)
    for way in ways(name):
        y = c.product(x, way)
        assert (y[:, : c.n_rows] == expected).all()
        assert (y[:, c.n_rows :] == 0).all()


@pytest.mark.parametrize("name", FORMATS)
def test_a_token_does_not_depend_on_the_others(case: Callable[..., Case], name: str) -> None:
    c = case(name, (70, 96))
    x = c.activations(35)
    whole = c.product(x, NARROW)
    for n_tokens in (*range(1, 10), 15, 16, 17, 31, 35):
        part = _tokens(x, slice(35 - n_tokens, 35))
        for way in ways(name):
            assert (c.product(part, way) == whole[35 - n_tokens :]).all()


@pytest.mark.parametrize("name", FORMATS)
def test_sums_that_wait_are_the_same(case: Callable[..., Case], name: str) -> None:
    """Long rows are walked in parts, and many tokens in groups; NARROW does neither."""
    c = case(name, (33, 6400))
    x = c.activations(259)
    before = c.rng.standard_normal((259, 64)).astype(np.float32)
    whole, added = c.product(x, NARROW), c.product(x, NARROW, y=before)
    for way in ways(name)[1:]:
        assert (c.product(x, way) == whole).all()
        assert (c.product(x, way, y=before) == added).all()


@pytest.mark.parametrize("name", FORMATS)
def test_a_range_of_strips_is_written_and_no_more(case: Callable[..., Case], name: str) -> None:
    c = case(name, (100, 64))
    x = c.activations(3)
    whole = c.product(x, NARROW)
    for way in ways(name):
        for begin, end in [(0, 1), (1, 3), (3, 4), (2, 2), (0, 4)]:
            y = c.product(x, way, strips=(begin, end))
            inside = slice(32 * begin, 32 * end)
            assert (y[:, inside] == whole[:, inside]).all()
            assert np.isnan(np.delete(y, np.r_[inside], axis=1)).all()


@pytest.mark.parametrize("name", FORMATS)
def test_add_is_one_sum_after_the_product(case: Callable[..., Case], name: str) -> None:
    c = case(name, (64, 64))
    x = c.activations(19)
    before = c.rng.standard_normal((19, 64)).astype(np.float32)
    for way in ways(name):
        assert (c.product(x, way, y=before) == before + c.product(x, way)).all()


@pytest.mark.parametrize("name", QUANTIZED)
def test_largest_codes_do_not_saturate(case: Callable[..., Case], pool2: Pool, name: str) -> None:
    c = case(name, (32, 64))
    blocks = c.rows.view(c.fmt.source.dtype)
    for field in {"qs", "ql", "qh", "hmask", "signs"} & set(blocks.dtype.names or ()):
        is_signed = blocks.dtype[field].base == np.int8
        blocks[field][:16] = -128 if is_signed else 0
        blocks[field][16:] = 127 if is_signed else np.iinfo(blocks.dtype[field].base).max
        if name == "MXFP4":  # from its least number to its largest
            blocks[field] = np.where(blocks[field] == 0, 0xFF, 0x77)
    if c.fmt.source.has_number:
        blocks[c.fmt.source.number] = 128 if name == "MXFP4" else 1
    pack(pool2, c.rows, c.fmt, c.n_inputs, c.packed)
    x = np.full((18, c.n_inputs), 1, np.float32)
    x[1::2] = -1
    records = c.naive.quantize_activations(x)
    assert set(np.unique(records["q"])) == {-127, 127}
    expected = c.twin(records)
    for way in ways(name):
        assert (c.product(records, way) == expected).all()


@pytest.mark.parametrize("name", FORMATS)
def test_product_is_close_to_float64(case: Callable[..., Case], name: str) -> None:
    """The twins could share a mistake: here the weights are the `gguf` package's."""
    c = case(name, (48, 512))
    x = c.activations(4)
    if c.fmt.is_quantized:
        exact = (x["q"] * x["d"][..., None].astype(np.float64)).transpose(1, 0, 2).reshape(4, -1)
        n_sums = 2 * 512 // 32
    else:
        exact, n_sums = x.astype(np.float64), 512
    if c.fmt.has_minima:
        n_sums *= 2
    if c.fmt.n_subs == 2:
        n_sums *= 2
    weights = c.weights.astype(np.float64)
    # Each of n_sums steps rounds once, to half a unit of at most the sum of magnitudes.
    magnitude = np.abs(weights)
    if c.fmt.has_minima:  # the two terms of a weight may cancel
        code, factor, addend = c.blocks.take_apart(name, c.rows)
        magnitude = np.abs(code * factor[..., None]) + np.abs(addend)[..., None]
        magnitude = magnitude.reshape(weights.shape)
    bound = (n_sums + 4) * 2.0**-24 * (np.abs(exact) @ magnitude.T)
    assert (np.abs(c.product(x, NARROW)[:, :48] - exact @ weights.T) <= bound).all()
