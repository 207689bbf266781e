"""Masks over a vocabulary, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.kernels.sampling.masks import allowed_of, forbid

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("n", [1, 7, 63, 64, 65, 333, 4096])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_what_is_masked_out_is_forbidden_and_the_rest_keeps_its_bits(n: int, share: float) -> None:
    is_allowed = RNG.random((n + 63) // 64 * 64) < share
    is_allowed[64:256] = True  # words of one kind
    is_allowed[256:300] = False
    row = RNG.standard_normal(n + 1).astype(np.float32)
    row[:3] = [np.nan, -0.0, np.inf][: len(row[:3])]
    before = row.copy()
    forbid(row[:n], np.packbits(is_allowed, bitorder="little"))
    expected = np.where(is_allowed[:n], before[:n], np.float32(-np.inf))
    assert np.array_equal(row[:n].view(np.int32), expected.view(np.int32))
    assert row[n].view(np.int32) == before[n].view(np.int32)  # nothing behind it


@pytest.mark.parametrize("n", [1, 7, 63, 64, 65, 333, 4096])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_what_is_left_is_gathered(n: int, share: float) -> None:
    is_allowed = RNG.random((n + 63) // 64 * 64) < share
    is_allowed[64:256] = True
    is_allowed[256:300] = False
    row = RNG.standard_normal(n).astype(np.float32)
    row[:4] = [np.nan, -0.0, np.inf, -np.inf][: len(row[:4])]
    before = row.copy()
    ids, logits = allowed_of(row, np.packbits(is_allowed, bitorder="little"))
    expected = np.flatnonzero(is_allowed[:n] & (row != -np.inf))
    assert np.array_equal(ids, expected) and ids.dtype == np.int64
    assert np.array_equal(logits.view(np.int32), row[expected].view(np.int32))
    assert np.array_equal(row.view(np.int32), before.view(np.int32))
