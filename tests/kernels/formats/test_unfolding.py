"""Plain blocks against what `gguf` says of those that they were made from."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.formats import unfolding
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.formats.unfolding import ROOM, UNFOLD, book_address

N = 40


def _unfold(which, block, out, book):
    if which == 0:
        unfolding.unfold_iq2_xxs(block, out, book)
    elif which == 1:
        unfolding.unfold_iq2_xs(block, out, book)
    elif which == 2:
        unfolding.unfold_iq2_s(block, out, book)
    elif which == 3:
        unfolding.unfold_iq3_xxs(block, out, book)
    elif which == 4:
        unfolding.unfold_iq3_s(block, out, book)
    elif which == 5:
        unfolding.unfold_iq1_s(block, out, book)
    elif which == 6:
        unfolding.unfold_iq1_m(block, out, book)
    else:
        unfolding.unfold_tq1_0(block, out, book)


@pytest.mark.parametrize("name", UNFOLD)
def test_plain_blocks_mean_the_same(
    call: Callable[..., None], blocks: ModuleType, name: str
) -> None:
    fmt, plain = FORMATS[name], FORMATS[name].plain
    assert plain is not None and plain.block_nbytes <= ROOM
    rows = blocks.random_rows(np.random.default_rng(2), name, N, 256)
    out = np.full((N, plain.block_nbytes), 0xA5, np.uint8)
    for row, target in zip(rows, out, strict=True):
        call(_unfold, list(UNFOLD).index(name), row, target, book_address(fmt))
    made = out.view(plain.dtype)[:, 0]
    table = np.float32(plain.table or [-1, 0, 1, np.nan])
    n = plain.scales.size if plain.scales else 256
    weights = table[made["qs"]].reshape(N, -1, n) * made["d"].astype(np.float32)[:, None, None]
    if plain.scales:
        weights *= made["scales"].astype(np.float32)[..., None]
    weights = (weights * np.float32(plain.factor)).reshape(N, 256)
    assert (weights == blocks.floats(name, rows)).all()
