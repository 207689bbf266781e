"""What layers have of a token by themselves: kernels against NumPy, whoever shares the rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from halfbyte.engine.stage_words import float_word, stage_words
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.stages import per_layer, record

F32 = NDArray[np.float32]
N_ROWS, N, DIM, EPS = 7, 3, 32, 1e-5


def _run(kernel: Kernel, x: F32, y: F32, weight: F32, n_chunks: int) -> F32:
    out, step = y.copy(), np.zeros(len(record.STEP), np.int64)
    step[record.STEP.n_tokens // 8] = N_ROWS
    words = stage_words(
        record.JOINED, record.CALL, x=x.ctypes.data, x_stride=x.strides[0], y=out.ctypes.data,
        y_stride=out.strides[0], n=N, dim=DIM, weight=weight.ctypes.data, eps=float_word(EPS),
        scale=float_word(DIM**0.5),
    )  # fmt: skip
    for chunk in range(n_chunks):
        kernel.call(words.ctypes.data, step.ctypes.data, chunk, n_chunks)
    return out


@pytest.mark.parametrize("n_chunks", [1, 3])
def test_rows_join_layer_by_layer(n_chunks: int) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((N_ROWS, N * DIM)).astype(np.float32) for _ in range(2))
    weight = rng.standard_normal(DIM).astype(np.float32)
    by_layer = y.reshape(N_ROWS, N, DIM)
    normed = by_layer / np.sqrt((by_layer**2).mean(-1, keepdims=True) + EPS) * weight
    expected = (normed.reshape(x.shape) + DIM**0.5 * x) / 2**0.5
    got = _run(per_layer.join_rows, x, y, weight, n_chunks)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)
    assert (got == _run(per_layer.join_rows, x, y, weight, 1)).all()


@pytest.mark.parametrize("n_chunks", [1, 3])
def test_a_layer_is_gated_by_its_own(n_chunks: int) -> None:
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((N_ROWS, DIM)).astype(np.float32) for _ in range(2))
    gelu = y / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (y + 0.044715 * y**3)))
    got = _run(per_layer.gate_rows, x, y, x[0], n_chunks)
    np.testing.assert_allclose(got, gelu * x, rtol=1e-4, atol=1e-6)
