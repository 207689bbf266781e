"""Products in bf16 against their NumPy twin and, with tiles, against each other, with `==`."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import gguf
import numpy as np
import pytest

from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.packing import pack
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, n_panels
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.products.bf16_product import bf16_kernel, in_tiles, takes_bf16
from halfbyte.kernels.vectors.bf16 import has_tiles, pairs
from tests.kernels import bf16_twin
from tests.kernels.checked import ARE_ALL, CHECKED
from tests.kernels.tile_twin import OPERATIONS

Call = Callable[..., None]
SOME = ["Q4_0", "Q6_K", "BF16"]  # a scale for 32 inputs, one for 16, none
# Formats differ in how they are expanded alone, which test_bf16_weights.py is about.
FORMATS = [name for name in CHECKED if takes_bf16(PANEL_FORMATS[name])] if ARE_ALL else SOME


class Case:
    """A random matrix in a format, its packed form and its product."""

    def __init__(
        self, call: Call, blocks: ModuleType, pool: Pool, name: str, n_rows: int, n_inputs: int
    ) -> None:
        self.call, self.name, self.fmt = call, name, PANEL_FORMATS[name]
        block = self.fmt.source.block_size
        self.n_rows, self.n_inputs = n_rows, -(-n_inputs // block) * block
        self.rng, shape = np.random.default_rng(n_rows), (n_rows, self.n_inputs)
        if self.fmt.is_quantized:
            rows = blocks.random_rows(self.rng, name, *shape)
        else:
            kind, w = gguf.GGMLQuantizationType[name], self.rng.standard_normal(shape)
            rows = gguf.quants.quantize(w.astype(np.float32), kind).view(np.uint8)
            rows = rows.reshape(n_rows, -1)
        self.weights = blocks.floats(name, rows).reshape(shape)
        self.packed = np.empty(self.fmt.nbytes(*shape), np.uint8)
        pack(pool, rows, self.fmt, self.n_inputs, self.packed)

    def activations(self, n: int) -> np.ndarray:
        """(n, K)."""
        return self.rng.standard_normal((n, self.n_inputs)).astype(np.float32)

    def product(
        self, x: np.ndarray, kernel: Kernel | None = None, *, tiled: bool = has_tiles(),
        strips: tuple[int, int] | None = None, y: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """y (T, padded rows); given a y, the product is added to it."""
        records = bf16_twin.records(x, pairs(tiled=tiled))
        room = np.full(records.nbytes + 15 * 64, 0xFF, np.uint8)  # which tiles may read: NaN
        room[: records.nbytes] = records.view(np.uint8).ravel()
        n = n_panels(self.n_rows)
        begin, end = strips or (0, n // 2)
        out = np.full((len(x), 16 * n), np.nan, np.float32) if y is None else y.copy()
        self.call(
            kernel or bf16_kernel(self.name), self.packed, n, self.fmt.n_units(self.n_inputs),
            begin, end, room, 64 * len(x), len(x), out, 64 * n, int(y is not None),
        )  # fmt: skip
        return out


@pytest.fixture
def case(call: Call, blocks: ModuleType, pool2: Pool) -> Callable[..., Case]:
    """Makes a case; of a K type the inputs are the next multiple of its block."""
    return lambda *args: Case(call, blocks, pool2, *args)


@pytest.mark.parametrize("name", FORMATS)
def test_product_is_the_twins(case: Callable[..., Case], name: str) -> None:
    for n_rows, n_inputs in ((1, 32), (40, 300)):
        c = case(name, n_rows, n_inputs)
        x = c.activations(7)
        x *= c.rng.choice([1, 1e-20, 1e-17, 100], x.shape).astype(np.float32)
        y = c.product(x)
        assert (y[:, :n_rows] == bf16_twin.matmul(c.weights, x)).all()
        assert (y[:, n_rows:] == 0).all()


@pytest.mark.parametrize("name", SOME)
def test_a_token_does_not_depend_on_the_others(case: Callable[..., Case], name: str) -> None:
    c = case(name, 70, 600)  # more blocks than are expanded at once
    x = c.activations(259)  # more tokens than have sums on the stack
    whole = c.product(x)
    alone = np.concatenate([c.product(x[i : i + 1]) for i in (0, 100, 258)])
    assert (whole[[0, 100, 258]] == alone).all()
    for n in (*range(2, 10), 16, 17, 33):
        assert (c.product(x[-n:]) == whole[-n:]).all()


@pytest.mark.parametrize("name", SOME)
def test_strips_and_sums_with_what_was_there(case: Callable[..., Case], name: str) -> None:
    c = case(name, 100, 64)
    x = c.activations(19)
    whole, before = c.product(x), c.rng.standard_normal((19, 128)).astype(np.float32)
    assert (c.product(x, y=before) == before + whole).all()
    for begin, end in ((0, 1), (1, 3), (3, 4), (2, 2)):
        y = c.product(x, strips=(begin, end))
        inside = slice(32 * begin, 32 * end)
        assert (y[:, inside] == whole[:, inside]).all()
        assert np.isnan(np.delete(y, np.r_[inside], axis=1)).all()


@pytest.mark.parametrize("name", SOME)
def test_tiles_give_the_same_bits(case: Callable[..., Case], name: str) -> None:
    """AMX's kernel, its instructions done by floats (tile_twin.py), on its own order of pairs."""
    tiled = Kernel(in_tiles(PANEL_FORMATS[name], OPERATIONS), f"bf16_{name}_in_floats")
    c = case(name, 40, 800)  # two parts of a row
    before = c.rng.standard_normal((50, 64)).astype(np.float32)
    for n in (1, 16, 17, 32, 50):
        x = c.activations(n)
        y = c.product(x, tiled, tiled=True)
        assert (y[:, :40] == bf16_twin.matmul(c.weights, x)).all()
        assert (c.product(x, tiled, tiled=True, y=before[:n]) == before[:n] + y).all()


def test_sums_of_tiles_wait_for_many_tokens(case: Callable[..., Case]) -> None:
    tiled = Kernel(in_tiles(PANEL_FORMATS["Q4_0"], OPERATIONS), "bf16_Q4_0_in_floats")
    c = case("Q4_0", 32, 544)
    x = c.activations(259)
    y = c.product(x, tiled, tiled=True)
    some = [0, 15, 16, 31, 32, 200, 255, 256, 258]
    assert (y[some] == bf16_twin.matmul(c.weights, x[some])).all()


@pytest.mark.parametrize("name", FORMATS)
def test_product_is_close_to_float64(case: Callable[..., Case], name: str) -> None:
    c = case(name, 48, 512)
    x = c.activations(4)
    exact = bf16_twin.rounded(x).astype(np.float64)
    weights = bf16_twin.rounded(c.weights).astype(np.float64)
    bound = 36 * 2.0**-24 * (np.abs(exact) @ np.abs(weights).T)
    assert (np.abs(c.product(x)[:, :48] - exact @ weights.T) <= bound).all()
