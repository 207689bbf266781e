"""Calibration: what it must never make worse, and what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from halfbyte.converting.calibration.gptq import Hessian, calibrate, calibrate_model, inverse_factor
from halfbyte.converting.sources.source import TensorSource, open_source
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.floats import F16
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.formats.small import Q8_0
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.quantizers.quantize import dequantize, quantize
from halfbyte.quality.distance import measure
from halfbyte.quality.float_model import FloatModel
from halfbyte.quality.texts import packaged_text, token_windows
from halfbyte.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool(2)
    yield pool
    pool.close()


class Replaced(TensorSource):
    """A folder's tensors, some of them others."""

    changed: dict[str, np.ndarray]

    def tensor(self, name: str) -> np.ndarray:
        return self.changed[name] if name in self.changed else super().tensor(name)


def source_of(path: Path) -> Replaced:
    opened = open_source(path)
    source = Replaced(opened.tensors, opened.config)
    source.changed = {}
    return source


def correlated_inputs(n: int) -> np.ndarray:
    rng = np.random.default_rng(8)
    mixed = rng.normal(size=(900, n // 4)) @ rng.normal(size=(n // 4, n))
    return (mixed + 0.5 * rng.normal(size=(900, n))).astype(np.float32)


def test_the_factor_is_that_of_the_inverse() -> None:
    hessian = Hessian(64)
    hessian.add(correlated_inputs(64))
    h = hessian.damped()
    u = inverse_factor(h).astype(np.float64)
    assert (np.tril(u, -1) == 0).all()
    np.testing.assert_allclose(u.T @ u @ h, np.eye(64), atol=1e-4)


@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "IQ4_NL", "IQ4_XS"])
def test_a_matrix_computes_more_nearly_what_it_should(pool: Pool, name: str) -> None:
    fmt = FORMATS[name]
    n = max(128, fmt.block_size)
    x, w = correlated_inputs(n), np.random.default_rng(9).normal(size=(50, n)).astype(np.float32)
    w[7] = 0
    hessian = Hessian(n)
    hessian.add(x[:400])
    hessian.add(x[400:])
    data = calibrate(pool, w, hessian, fmt)
    qtype = gguf.GGMLQuantizationType[name]
    assert data.shape == (50, fmt.row_nbytes(n))
    calibrated = gguf.quants.dequantize(data, qtype)
    rounded = quantize(w, fmt) if fmt.table else gguf.quants.quantize(w, qtype)
    plain = gguf.quants.dequantize(rounded, qtype)
    errors = [np.square(x @ (w - q).T).sum() for q in (calibrated, plain)]
    assert errors[0] < 0.4 * errors[1]
    assert (calibrated[7] == 0).all()


def test_rows_are_calibrated_alike_in_whatever_parts(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hessian = Hessian(64)
    hessian.add(correlated_inputs(64))
    w = np.random.default_rng(9).normal(size=(20, 64)).astype(np.float32)
    whole = calibrate(pool, w, hessian, FORMATS["Q4_0"])
    monkeypatch.setattr("halfbyte.converting.calibration.gptq._N_CHUNK_WEIGHTS", 7 * 64)
    parts = calibrate(pool, w, hessian, FORMATS["Q4_0"])
    # BLAS may add in another order: a code on the edge may fall the other way.
    assert (whole != parts).mean() < 0.02


def test_inputs_that_are_never_used_cost_nothing(pool: Pool) -> None:
    w = np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32)
    data = calibrate(pool, w, Hessian(64), FORMATS["Q4_0"])
    error = np.square(w - dequantize(data, FORMATS["Q4_0"], 64)).sum()
    plain = quantize(w, FORMATS["Q4_0"])
    assert error <= np.square(w - dequantize(plain, FORMATS["Q4_0"], 64)).sum()


def test_a_model_has_all_its_matrices_in_their_types(pool: Pool, tiny_folder: Path) -> None:
    source = source_of(tiny_folder)
    ids = np.random.default_rng(0).integers(3, 290, (4, 50))
    names = [
        f"blk.{i}.{n}.weight"
        for i in range(2)
        for group in FloatModel(source).groups(i)
        for n in group
    ]
    names = ["token_embd.weight", *names, "output.weight"]
    formats: dict[str, BlockFormat] = dict.fromkeys(names, FORMATS["Q4_0"])
    formats |= {"blk.1.attn_v.weight": Q8_0, "blk.0.ffn_up.weight": F16}
    steps: list[tuple[str, int, int]] = []
    found = list(calibrate_model(source, ids, formats, pool, progress=lambda *s: steps.append(s)))
    assert [name for name, _ in found] == names
    assert steps == [("calibrate", 1, 2), ("calibrate", 2, 2)]
    for name, data in found:
        w = source.tensor(name)
        assert data.shape == (len(w), formats[name].row_nbytes(w.shape[1]))
        if formats[name] is not FORMATS["Q4_0"] or name == "token_embd.weight":
            assert (data == quantize(w, formats[name])).all()


def test_a_calibrated_model_is_nearer_its_source(pool: Pool, shared_dir: Path) -> None:
    folder = shared_dir / "data" / "models" / "infill-10m"
    source, result = source_of(folder), source_of(folder)
    tokenizer = Tokenizer.from_path(folder)
    ids = token_windows(tokenizer, packaged_text("calibration"), max_windows=8)
    heldout = token_windows(tokenizer, packaged_text("heldout"), max_windows=3)
    fmt = FORMATS["Q4_0"]
    matrices = [t.name for t in source._tensors.values() if len(t.shape) == 2]

    def kl(tensors: dict[str, np.ndarray]) -> float:
        result.changed = {
            name: dequantize(data, fmt, source.tensor(name).shape[1])
            for name, data in tensors.items()
        }
        return measure(source, result, heldout).distance.mean_kl

    plain = kl({name: quantize(source.tensor(name), fmt) for name in matrices})
    calibrated = kl(dict(calibrate_model(source, ids, dict.fromkeys(matrices, fmt), pool)))
    print(f"Q4_0, mean KL: {plain:.4f}, calibrated {calibrated:.4f}")
    assert calibrated < 0.5 * plain
