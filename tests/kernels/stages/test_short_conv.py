"""Short convolutions against NumPy in float64: rows, blocks, journals and what is replayed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from halfbyte.engine.stage_words import stage_words
from halfbyte.kernels.stages import record, short_conv

F32 = NDArray[np.float32]
GAP = 3  # rows of other spans between two


def convolved(u: NDArray[np.float64], taps: F32, bias: F32) -> NDArray[np.float64]:
    """Of rows behind n_taps - 1 others: the sums."""
    n = len(u) - taps.shape[1] + 1
    return sum(u[j : j + n] * taps[:, j] for j in range(taps.shape[1])) + bias


@pytest.mark.parametrize(("width", "n_taps"), [(40, 3), (16, 2), (300, 5)])
@pytest.mark.parametrize(("n_kept", "n_rows", "n_certain"), [(0, 5, 5), (2, 6, 3), (7, 0, 0)])
def test_rows_of_two_spans(
    width: int, n_taps: int, n_kept: int, n_rows: int, n_certain: int
) -> None:
    """One begins with nothing, the other with a block and guesses that were right."""
    rng = np.random.default_rng(1)
    padded = -(-width // 16) * 16
    stride, wide = 3 * width + 32, padded + 16
    x, y = (
        rng.standard_normal((2 * n_rows + GAP, stride), np.float32),
        np.zeros((2 * n_rows + GAP, wide), np.float32),
    )
    taps, bias = (
        rng.standard_normal((width, n_taps), np.float32),
        rng.standard_normal(padded, np.float32),
    )
    in_rows = np.zeros((n_taps, padded), np.float32)
    in_rows[:, :width] = taps.T
    before, after = np.zeros((2, 2, 2 * n_taps, padded), np.float32)  # another layer's state first
    kept, journal = np.zeros((2, 2, n_rows + n_kept, 2, padded), np.float32)
    before[1, n_taps - 1 : 2 * n_taps - 2, :width] = rng.standard_normal((n_taps - 1, width))
    kept[1, :n_kept, 1, :width] = rng.standard_normal((n_kept, width))
    spans = np.zeros((2, len(record.SPAN)), np.int64)
    for i, span in enumerate(spans):
        own = {"row": i * (n_rows + GAP), "n_rows": n_rows, "next": after[i].ctypes.data,
               "state": before[1].ctypes.data if i else 0, "kept": kept[i].ctypes.data if i else 0,
               "n_kept": n_kept * i, "journal": journal[i].ctypes.data,
               "n_certain": n_certain}  # fmt: skip
        for name, value in own.items():
            span[getattr(record.SPAN, name) // 8] = value
    work = np.zeros(short_conv.ring_nbytes(n_taps, width), np.uint8)
    step = np.zeros(len(record.STEP), np.int64)
    for name, array in (("spans", spans), ("work", work)):
        step[getattr(record.STEP, name) // 8] = array.ctypes.data
    n_parts = short_conv.n_parts(width)
    words = stage_words(
        record.CONVOLVED, record.CALL, per_span=n_parts, width=width, n_taps=n_taps,
        state_at=4 * padded * (n_taps - 1), kept_at=4 * padded, token_nbytes=8 * padded,
        x=x.ctypes.data, x_stride=4 * stride, y=y.ctypes.data, y_stride=4 * wide,
        taps=in_rows.ctypes.data, taps_stride=4 * padded, bias=bias.ctypes.data,
    )  # fmt: skip
    for chunk in range(2 * n_parts):
        short_conv.convolve.call(words.ctypes.data, step.ctypes.data, chunk, 2 * n_parts)
    for i in range(2):
        rows = slice(i * (n_rows + GAP), i * (n_rows + GAP) + n_rows)
        b, c, u = np.split(x[rows, : 3 * width].astype(np.float64), 3, axis=1)
        past = before[1, n_taps - 1 : 2 * n_taps - 2] if i else np.zeros((n_taps - 1, padded))
        whole = np.concatenate([past[:, :width], kept[i, : n_kept * i, 1, :width], b * u])
        sums = convolved(whole, taps, bias[:width])[n_kept * i :]
        np.testing.assert_allclose(y[rows, :width], c * sums, rtol=1e-4, atol=1e-5)
        end = len(whole) - (n_rows - n_certain)
        state = after[i, n_taps - 1 : 2 * n_taps - 2]
        np.testing.assert_allclose(state[:, :width], whole[end - n_taps + 1 : end], rtol=1e-6)
        guesses = journal[i, : n_rows - n_certain, 1]
        np.testing.assert_allclose(guesses[:, :width], (b * u)[n_certain:], rtol=1e-6)
        for array in (y[rows, width:padded], state[:, width:], guesses[:, width:]):
            assert not array.any()
        others = (
            after[i, : n_taps - 1], after[i, 2 * n_taps - 2 :], journal[i, :, 0],
            journal[i, n_rows - n_certain :], y[:, padded:], y[n_rows : n_rows + GAP],
        )  # fmt: skip
        assert not any(array.any() for array in others)
