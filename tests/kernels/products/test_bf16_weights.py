"""Weights as bf16: what the `gguf` package says of them, rounded, in both orders of pairs."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import gguf
import numpy as np
import pytest

from halfbyte.kernels.layouts.packing import pack
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, n_panels
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.products.bf16_product import takes_bf16
from halfbyte.kernels.products.bf16_weights import expansion
from halfbyte.kernels.vectors.bf16 import pairs
from tests.kernels import bf16_twin
from tests.kernels.checked import CHECKED

FORMATS = [name for name in CHECKED if takes_bf16(PANEL_FORMATS[name])]


def expander(name: str, *, tiled: bool) -> Callable[..., None]:
    EXPAND = expansion(PANEL_FORMATS[name], tiled=tiled)

    def expand_panels(w, n_panels, n_units, first, last, out):
        for panel in range(n_panels):
            EXPAND(w, n_panels, n_units, panel, first, last, out + panel * (last - first) * 1024)

    return expand_panels


@pytest.mark.parametrize("tiled", [False, True], ids=["vectors", "tiles"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_weight_is_what_its_code_means(
    call: Callable[..., None], blocks: ModuleType, pool2: Pool, name: str, tiled: bool
) -> None:
    fmt, rng = PANEL_FORMATS[name], np.random.default_rng(1)
    shape = (70, 512 if fmt.is_quantized else 500)
    if fmt.is_quantized:
        rows = blocks.random_rows(rng, name, *shape)
    else:
        floats = rng.standard_normal(shape).astype(np.float32) * rng.choice([1, 1e-4, 1e-6], shape)
        kind = gguf.GGMLQuantizationType[name]
        rows = gguf.quants.quantize(floats.astype(np.float32), kind).view(np.uint8)
        rows = rows.reshape(len(floats), -1)
    weights = blocks.floats(name, rows).reshape(shape)
    packed = np.empty(fmt.nbytes(*shape), np.uint8)
    pack(pool2, rows, fmt, shape[1], packed)
    n, first, last = n_panels(70), 1, 16
    out = np.zeros((n, last - first, 16, 16), np.uint32)  # [panel][block][pair][row]
    expand = expander(name, tiled=tiled)
    call(expand, packed, n, fmt.n_units(shape[1]), first, last, out)
    expected = np.zeros((16 * n, last - first, 32), np.float32)
    expected[:70] = bf16_twin.blocks_of(weights)[:, first:last]
    found = out.swapaxes(2, 3).swapaxes(1, 2).reshape(16 * n, last - first, 16)
    halves = np.empty((16 * n, last - first, 32), np.uint32)
    for p, (low, high) in enumerate(pairs(tiled=tiled)):
        halves[..., low], halves[..., high] = found[..., p] << 16, found[..., p] & 0xFFFF0000
    assert (halves.view(np.float32) == expected).all()
