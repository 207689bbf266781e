"""Codebooks against those of the `gguf` package."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from halfbyte.kernels.formats.codebooks import codebook
from halfbyte.kernels.formats.registry import FORMATS

NAMES = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M"]


@pytest.mark.parametrize("name", NAMES)
def test_entries_are_those_of_gguf(name: str) -> None:
    theirs = getattr(gguf.quants, name)
    theirs.init_grid()
    ours, numbers = codebook(name), np.float32(theirs.grid_map)
    assert ours is not None and (numbers[ours] == theirs.grid.reshape(theirs.grid_shape)).all()
    plain = FORMATS[name].plain
    assert plain is not None
    if "IQ1" in name:  # table: 8 times that, and one more or less
        assert plain.table == (*(8 * numbers + 1), 0, *(8 * numbers - 1), 0)
    else:
        half = len(plain.table) // 2
        assert plain.table[: len(numbers)] == tuple(numbers)
        assert plain.table[half:] == tuple(-n for n in plain.table[:half])


def test_others_have_none() -> None:
    assert codebook("Q4_0") is codebook("TQ1_0") is None
