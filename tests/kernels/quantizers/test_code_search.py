"""The two jobs that choose codes, against slow twins."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from halfbyte.kernels.formats.iq4 import IQ4_NL
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.quantizers.code_search import descend, feed

N, N_SUBS, MAX_CODE = 96, 3, 15
LEVELS = np.arange(MAX_CODE + 1, dtype=np.float32)
TABLE = np.float32(IQ4_NL.table) / 16
RNG = np.random.default_rng(6)


@pytest.fixture(params=[1, 2])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    pool = Pool(request.param)
    yield pool
    pool.close()


def problem(n_rows: int) -> tuple[np.ndarray, ...]:
    """Weights, steps and offsets of rows, and a Hessian of correlated inputs."""
    rng = np.random.default_rng(n_rows)
    w = rng.normal(size=(n_rows, N)).astype(np.float32)
    steps = rng.uniform(0.2, 0.4, (n_rows, N_SUBS)).astype(np.float32)
    x = rng.normal(size=(300, 20)) @ rng.normal(size=(20, N)) + rng.normal(size=(300, N))
    return w, steps, -7 * steps, (x.T @ x).astype(np.float32)


def per_column(a: np.ndarray) -> np.ndarray:
    return a.repeat(N // N_SUBS, 1).astype(np.float64)


def cost(error: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    return ((error @ hessian.astype(np.float64)) * error).sum(1)


def nearest(wanted: np.ndarray, levels: np.ndarray) -> np.ndarray:
    distance = np.abs(wanted[..., None] - levels)
    return (len(levels) - 1 - distance[..., ::-1].argmin(-1)).astype(np.uint8)


@pytest.mark.parametrize("levels", [LEVELS, TABLE], ids=["even", "table"])
@pytest.mark.parametrize("n_rows", [0, 1, 37])
def test_feed_rounds_column_by_column(pool: Pool, n_rows: int, levels: np.ndarray) -> None:
    w, steps, offsets, hessian = problem(n_rows)
    u = np.linalg.cholesky(np.linalg.inv(hessian.astype(np.float64) + 50 * np.eye(N))).T
    fed, expected = w.astype(np.float64), np.zeros((n_rows, N), np.uint8)
    errors = np.zeros((n_rows, N))
    step, offset = per_column(steps), per_column(offsets)
    for j in range(N):
        expected[:, j] = code = nearest((fed[:, j] - offset[:, j]) / step[:, j], levels)
        errors[:, j] = (fed[:, j] - (step[:, j] * levels[code] + offset[:, j])) / u[j, j]
        fed[:, j + 1 :] -= errors[:, j, None] * u[j, j + 1 :]
    codes, got = feed(pool, w.copy(), u.astype(np.float32), steps, offsets, levels)
    assert (codes == expected).all()
    np.testing.assert_allclose(got, errors, rtol=1e-3, atol=2e-3)


def test_a_step_of_zero_takes_code_zero(pool: Pool) -> None:
    w, steps, offsets, _ = problem(4)
    steps[:, 1] = offsets[:, 1] = 0
    codes, errors = feed(pool, w.copy(), np.eye(N, dtype=np.float32), steps, offsets, LEVELS)
    assert (codes[:, 32:64] == 0).all() and (errors[:, 32:64] == w[:, 32:64]).all()
    assert codes[:, :32].any()


@pytest.mark.parametrize("levels", [LEVELS, TABLE], ids=["even", "table"])
def test_descend_leaves_no_code_that_could_do_better_alone(pool: Pool, levels: np.ndarray) -> None:
    w, steps, offsets, hessian = problem(37)
    step, offset = per_column(steps), per_column(offsets)
    codes = nearest((w - offset) / step, levels)
    start = cost(w - (step * levels[codes] + offset), hessian)
    gradient = ((w - (step * levels[codes] + offset)) @ hessian).astype(np.float32)
    descend(pool, gradient, hessian, steps, codes, levels, 1000)
    error = w - (step * levels[codes] + offset)
    end = cost(error, hessian)
    assert (end <= start).all() and end.sum() < 0.7 * start.sum()
    np.testing.assert_allclose(gradient, error @ hessian, atol=1e-2 * np.abs(gradient).max())
    for j in range(N):
        for move in (-1, 1):
            to = codes[:, j].astype(np.int64) + move
            allowed = (to >= 0) & (to <= MAX_CODE)
            moved = error.copy()
            moved[:, j] -= (levels[to.clip(0, MAX_CODE)] - levels[codes[:, j]]) * step[:, j]
            worse = cost(moved, hessian) >= end * (1 - 1e-4)
            assert worse[allowed].all()


def test_descend_stops_after_its_passes(pool: Pool) -> None:
    w, steps, offsets, hessian = problem(8)
    codes = np.zeros(w.shape, np.uint8)
    gradient = (w - per_column(offsets)).astype(np.float32) @ hessian
    descend(pool, gradient, hessian, steps, codes, LEVELS, 0)
    assert not codes.any()


def test_rows_that_no_vector_fits_are_refused(pool: Pool) -> None:
    w = np.zeros((2, 24), np.float32)
    with pytest.raises(ValueError, match="16"):
        feed(pool, w, np.eye(24, dtype=np.float32), w[:, :1], w[:, :1], LEVELS)
    wide = np.zeros((2, 64), np.float32)[:, ::2]
    with pytest.raises(ValueError, match="contiguous"):
        feed(pool, wide, np.eye(32, dtype=np.float32), w[:, :1], w[:, :1], LEVELS)
