"""What is measured, against float64 arithmetic that shares no code with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import gguf
import numpy as np
import pytest

import halfbyte
from halfbyte.converting.sources.source import open_source
from halfbyte.errors import RequestError
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
from halfbyte.quality.distance import Quality, distance, measure, relative_error
from halfbyte.quality.layer_source import GGUFSource
from halfbyte.quality.texts import packaged_text, token_windows
from halfbyte.tokenizer import Tokenizer

IDS = np.random.default_rng(5).integers(3, 290, (3, 40))


@pytest.fixture(scope="module")
def files(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for kind in ("f32", "q4_0"):
        found[kind] = tmp_path_factory.mktemp("measure") / f"{kind}.gguf"
        halfbyte.convert(tiny_folder, found[kind], type=kind, measure=False)
    return found


def measured(tiny_folder: Path, path: Path, **options: object) -> Quality:
    with GGUFFile.open(path) as file:
        result = GGUFSource(file, config_from_gguf(file))
        return measure(open_source(tiny_folder).layers(), result, IDS, **options)  # type: ignore[arg-type]


def test_the_distance_is_that_of_exact_arithmetic(
    tiny_folder: Path, files: dict[str, Path], benchmark_module: Callable[[str], ModuleType]
) -> None:
    found = measured(tiny_folder, files["q4_0"]).distance
    reference_model = benchmark_module("reference_model").ReferenceModel
    reference, other = (reference_model(files[kind]) for kind in ("f32", "q4_0"))
    kls, agreed, nlls = [], [], []
    for window in IDS:
        p, q = (_log_softmax(model.logits(window)) for model in (reference, other))
        kls.append((np.exp(p) * (p - q)).sum(-1))
        agreed.append(p.argmax(-1) == q.argmax(-1))
        nlls.append([-m[np.arange(39), window[1:]] for m in (p, q)])
    np.testing.assert_allclose(found.kl, kls, rtol=1e-3, atol=1e-6)
    assert found.mean_kl == pytest.approx(np.mean(kls), rel=1e-3)
    assert found.p99_kl == pytest.approx(np.quantile(kls, 0.99), rel=1e-3)
    assert found.top1 == np.mean(agreed) < 1
    expected = np.exp(np.mean(nlls, (0, 2)))
    np.testing.assert_allclose(found.perplexities, expected, rtol=1e-5)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_the_same_weights_are_no_distance_apart(tiny_folder: Path, files: dict[str, Path]) -> None:
    quality = measured(tiny_folder, files["f32"])
    assert quality.distance.mean_kl == 0 and quality.distance.top1 == 1
    assert quality.distance.perplexities[0] == quality.distance.perplexities[1]
    assert set(quality.errors.values()) == {0}


def test_errors_of_every_tensor(tiny_folder: Path, files: dict[str, Path]) -> None:
    steps = []
    quality = measured(tiny_folder, files["q4_0"], progress=lambda *a: steps.append(a))
    tensors = {
        kind: {
            t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64)
            for t in gguf.GGUFReader(path).tensors
        }
        for kind, path in files.items()
    }
    assert set(quality.errors) == set(tensors["f32"])
    for name, w in tensors["f32"].items():
        changed = tensors["q4_0"][name]
        expected = np.sqrt(((w - changed) ** 2).sum() / (w**2).sum())
        assert quality.errors[name] == pytest.approx(expected, rel=1e-5), name
    assert 0.05 < quality.errors["blk.0.attn_q.weight"] < 0.15
    assert steps == [("measure", 1, 2), ("measure", 2, 2)]


def test_an_error_of_nothing_is_zero() -> None:
    zeros = np.zeros((2, 32), np.float32)
    assert relative_error(zeros, zeros) == 0


def test_errors_of_numbers_whose_squares_float32_lacks() -> None:
    w = np.full((2, 32), 1e30, np.float32)
    assert relative_error(w, w * np.float32(0.5)) == 0.5


def test_a_distance_by_hand() -> None:
    p = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], np.float32))
    q = np.log(np.array([[0.25, 0.5, 0.25], [0.1, 0.8, 0.1]], np.float32))
    found = distance(np.array([[0, 2]]), [p + 3], [q - 1])
    np.testing.assert_allclose(found.kl, [[0.25 * np.log(2), 0]], atol=1e-6)
    assert found.reference_top.tolist() == [[0, 1]] and found.other_top.tolist() == [[1, 1]]
    np.testing.assert_allclose(found.perplexities, [4, 4], rtol=1e-6)


def test_windows_tile_the_text(tiny_folder: Path) -> None:
    tokenizer = Tokenizer.from_path(tiny_folder)
    text = "def f(x):\n    return x\n" * 20
    ids = tokenizer.encode(text, add_bos=False)
    windows = token_windows(tokenizer, text, 64)
    assert (windows[:, 0] == tokenizer.bos_id).all() and windows.shape == (len(ids) // 63, 64)
    flat = windows[:, 1:].ravel().tolist()
    assert flat == ids[: len(flat)] and len(ids) - len(flat) < 63
    assert (token_windows(tokenizer, text, 64, max_windows=2) == windows[:2]).all()
    assert token_windows(tokenizer, "ab", 64).tolist() == [
        [tokenizer.bos_id, *tokenizer.encode("ab", add_bos=False)]
    ]
    with pytest.raises(RequestError, match="two tokens"):
        token_windows(tokenizer, "", 64)


def test_the_texts_are_python_and_disjoint() -> None:
    calibration, heldout = packaged_text("calibration"), packaged_text("heldout")
    assert len(calibration) > 3 * len(heldout) > 50_000
    lines = heldout.split("\n")
    blocks = ["\n".join(lines[i : i + 20]) for i in range(0, len(lines) - 20, 10)]
    assert not [block for block in blocks if block in calibration]
