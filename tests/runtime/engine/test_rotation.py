"""Rows of rotary embedding in memory: the same bits whenever they are asked for, and no more."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.rotation import Rotation, RotationPages, rotation_nbytes
from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.families.rope import Temperature
from halfbyte.kernels.layouts.kv_pages import PAGE

LLAMA = ModelConfig(
    architecture="llama", name="", dim=64, hidden_dim=96, n_layers=2, n_heads=4, n_kv_heads=1,
    head_dim=16, vocab_size=300, n_ctx_train=128, norm_eps=1e-5, rope=RopeConfig(1e4),
)  # fmt: skip
CONFIGS = {
    "one": (LLAMA, 16),
    "two, and what queries are multiplied by": (
        replace(LLAMA, local_rope=RopeConfig(1e3, n_features=8), temperature=Temperature(0.1, 64)),
        16 + 8 + 1,
    ),
}


def _row(address: np.int64, width: int) -> np.ndarray:
    return np.array((ctypes.c_float * width).from_address(int(address)))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_long_text_takes_what_is_said(name: str) -> None:
    """Steps of a prompt of 100,000 tokens and, beside them, of texts elsewhere."""
    config, width = CONFIGS[name]
    n_ctx = 100_000
    rotation = Rotation(config, {}, n_ctx)
    pages, out = RotationPages(rotation), np.zeros(MAX_BATCH, np.int64)
    for begin in (*range(0, n_ctx, 50 * PAGE), 7, 90_000):
        pages.addresses(out, begin)
        expected = rotation.rows(begin // PAGE * PAGE, begin // PAGE * PAGE + 3 * PAGE)
        for i in (0, 1, MAX_BATCH - 1):
            assert (_row(out[i], width) == expected[begin % PAGE + i]).all()
    for begin in range(0, n_ctx, PAGE):
        pages.addresses(out[:1], begin)
    held = sum(rows.nbytes for rows, _ in pages._pages.values())
    assert held == rotation_nbytes(config, n_ctx) == MAX_BATCH * PAGE * 4 * width
    assert rotation_nbytes(config, PAGE + 1) == 2 * PAGE * 4 * width


def test_all_rows_of_a_step_stay_for_it() -> None:
    """One of each of as many texts as a step has rows, after others were asked for."""
    rotation = Rotation(LLAMA, {}, 1 << 20)
    pages, out = RotationPages(rotation), np.zeros(MAX_BATCH, np.int64)
    for begin in range(300):
        pages.addresses(out[:1], begin * PAGE)
    positions = [(7 * i % 600) * PAGE + i % PAGE for i in range(MAX_BATCH)]
    for i, position in enumerate(positions):
        pages.addresses(out[i : i + 1], position)
    for address, position in zip(out, positions, strict=True):
        assert (_row(address, 16) == rotation.row(position)).all()
