"""The int8 quantizer and RMSNorm against twins that round alike, and against float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.layouts import activations
from halfbyte.kernels.layouts.activations import (
    HALF_AT,
    RECORD_NBYTES,
    SCALE_AT,
    SCALED_HALF_AT,
    SCALED_SUM_AT,
    SUM_AT,
    padded,
)

Call = Callable[..., None]


def quantize_rows(x, n_rows, n_blocks, records):
    for row in range(n_rows):
        activations.put_row(
            x + row * n_blocks * 128, n_blocks, records + row * 48, n_rows * 48, 48
        )  # fmt: skip


def _quantize(call: Call, naive: ModuleType, x: np.ndarray) -> np.ndarray:
    records = np.zeros((x.shape[1] // 32, len(x)), naive.RECORD)
    records.view(np.uint8)[:] = 0xA5
    call(quantize_rows, x, len(x), x.shape[1] // 32, records)
    return records


def test_a_record_lies_as_stated(naive: ModuleType) -> None:
    offsets = {name: field[1] for name, field in naive.RECORD.fields.items()}
    assert offsets == {
        "q": 0, "d": SCALE_AT, "d sum": SCALED_SUM_AT, "d half": SCALED_HALF_AT, "sum": SUM_AT,
        "half": HALF_AT,
    }  # fmt: skip
    assert naive.RECORD.itemsize == RECORD_NBYTES


@pytest.mark.parametrize(
    "scale", [1, 1e-3, 1e4, 3e37, 1e-30, 1e-36, 3e-37, 1e-37, 1e-38, 1e-40, 1e-44]
)
def test_quantizer_gives_the_twins_records(call: Call, naive: ModuleType, scale: float) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((7, 320)) * scale).astype(np.float32)
    assert (_quantize(call, naive, x) == naive.quantize_activations(x)).all()


def test_quantizer_on_special_blocks(call: Call, naive: ModuleType) -> None:
    x = np.zeros((8, 32), np.float32)
    x[1, 31] = 127  # codes are the numbers themselves: ties go to even
    x[1, :4] = [0.5, 1.5, -2.5, -63.5]
    x[2], x[3] = 3.4028235e38, -3.4028235e38
    x[4, 7] = 2.0**-149
    x[5, 16] = -1
    x[6] = np.where(np.arange(32) % 2, 1, -1)
    x[7] = -0.0
    got = _quantize(call, naive, x)[0]
    assert (got == naive.quantize_activations(x)[0]).all()
    assert got["q"][1, :4].tolist() == [0, 2, -2, -64]
    for row, (d, total) in {0: (0, 0), 4: (0, 0), 6: (np.float32(1) / 127, 0), 7: (0, 0)}.items():
        assert (got["d"][row], got["sum"][row]) == (d, total)
    assert (got["q"][[0, 4, 7]] == 0).all()
    assert got["q"][2].tolist() == [127] * 32 and got["sum"][3] == -127 * 32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_visible(call: Call, naive: ModuleType, bad: float) -> None:
    x = np.random.default_rng(2).standard_normal((32, 64)).astype(np.float32)
    x[np.arange(32), np.arange(32)] = bad
    got = _quantize(call, naive, x)
    assert not np.isfinite(got["d"][0]).any() and np.isfinite(got["d"][1]).all()


def test_quantizer_stays_within_half_a_step_and_127(call: Call, naive: ModuleType) -> None:
    x = np.random.default_rng(1).standard_normal((100, 128)).astype(np.float32)
    got = _quantize(call, naive, x)
    assert np.abs(got["q"].astype(int)).max() == 127
    back = (got["q"] * got["d"][..., None].astype(np.float64)).transpose(1, 0, 2).reshape(x.shape)
    step = np.repeat(got["d"].T, 32, axis=1)
    assert (np.abs(back - x) <= step * 0.5001).all()  # the rest: rounding of the scale


@cache
def _rms_norm(eps: float) -> Callable[..., None]:
    EPS = np.float32(eps)

    def rms_norm(x, weight, n, out):
        activations.rms_norm_row(x, weight, n, EPS, out)

    return rms_norm


@pytest.mark.parametrize("n", [1, 16, 18, 31, 32, 33, 48, 576, 4096])
@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e6])
def test_rms_norm(call: Call, naive: ModuleType, n: int, scale: float) -> None:
    eps = 1e-5
    rng = np.random.default_rng(n)
    x, weight, out = np.zeros((3, padded(n)), np.float32)
    x[:n], weight[:n] = rng.standard_normal(n) * scale, rng.standard_normal(n)
    out[:] = 7
    call(_rms_norm(eps), x, weight, n, out)
    assert (out[:n] == naive.rms_norm(x[:n], weight[:n], np.float32(eps))).all()
    assert (out[n:] == 0).all()
    exact = x[:n].astype(np.float64)
    exact *= weight[:n] / np.sqrt((exact**2).mean() + eps)
    # Up to n / 16 sums in a row per lane, each rounded; half of that after the root.
    assert (np.abs(out[:n] - exact) <= np.abs(exact) * (n / 32 + 6) * 2.0**-24).all()
