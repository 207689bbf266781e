"""A conversion that measures and calibrates: what it records is what others find."""

from __future__ import annotations

import dataclasses
import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import halfbyte
from halfbyte.conversion import plan_conversion
from halfbyte.converting.calibration.importance import load_importance
from halfbyte.converting.convert import ConversionReport
from halfbyte.converting.options import ConversionOptions, Options
from halfbyte.converting.report.estimate import estimate
from halfbyte.converting.report.page import page, write_report
from halfbyte.errors import ConversionError, EngineError, RequestError
from halfbyte.models import catalogue
from halfbyte.quality.figures import patch
from halfbyte.quality.texts import packaged_text, read_text
from halfbyte.verification import verify


@pytest.fixture(scope="module")
def made(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ConversionReport:
    return halfbyte.convert(tiny_folder, tmp_path_factory.mktemp("measured") / "q4_0.gguf",
                            type="q4_0")  # fmt: skip


@pytest.fixture
def infill_gguf() -> Path:
    return catalogue.resolve("infill-10m")


def test_the_file_carries_what_was_measured(made: ConversionReport) -> None:
    fields = gguf.GGUFReader(made.path).fields
    found = made.figures
    assert found is not None and 0 < found.kl_mean < found.kl_p99
    assert fields["halfbyte.quality.kl_mean"].contents() == np.float32(found.kl_mean)
    assert fields["halfbyte.golden.tokens"].contents() == list(found.golden_tokens)
    assert fields["halfbyte.source.sha256"].contents() == found.source_sha256 != "0" * 64
    assert all(check.is_same for check in verify(Path(made.path), threads=1))


def test_the_name_is_for_a_file_with_its_golden_tokens(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(model: halfbyte.Model) -> None:
        assert [path.name for path in tmp_path.iterdir()] == [Path(model.path).name]
        assert model.path.endswith(".part")
        raise KeyboardInterrupt

    monkeypatch.setattr("halfbyte.conversion.golden_continuation", interrupted)
    with pytest.raises(KeyboardInterrupt):
        halfbyte.convert(tiny_folder, tmp_path / "out.gguf")
    assert not list(tmp_path.iterdir())


def test_quality_can_be_measured_again(made: ConversionReport, tmp_path: Path) -> None:
    assert made.figures is not None
    checks = verify(Path(made.path), quality=True, threads=1)
    assert [check.name for check in checks] == [
        "tensors", "tokenizer", "numbers", "golden", "perplexity",
    ]  # fmt: skip
    assert checks[-1].is_same
    found, recorded = (float(word) for word in re.findall(r"\d+\.\d+", checks[-1].detail))
    assert found == pytest.approx(made.figures.perplexity, rel=0.02)
    assert recorded == pytest.approx(made.figures.perplexity, rel=1e-6)

    claims_more = tmp_path / "claims.gguf"
    shutil.copy(made.path, claims_more)
    for perplexity in (0.8 * made.figures.perplexity, 0.0, float("nan")):
        patch(claims_more, replace(made.figures, perplexity=perplexity))
        found_same = [c.is_same for c in verify(claims_more, quality=True, threads=1)]
        assert found_same == [True] * 4 + [False]
    patch(claims_more, replace(made.figures, text_sha256="1" * 64))
    assert verify(claims_more, quality=True, threads=1)[-1].is_same is None


def test_the_errors_are_those_of_the_tensors(made: ConversionReport, tiny_folder: Path) -> None:
    exact = Path(made.path).with_name("f32.gguf")
    halfbyte.convert(tiny_folder, exact, type="f32", measure=False)
    assert made.figures is not None
    pairs = zip(gguf.GGUFReader(exact).tensors, gguf.GGUFReader(made.path).tensors, strict=True)
    for (a, b), tensor, error in zip(pairs, made.tensors, made.figures.tensor_errors, strict=True):
        x, y = (
            gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64).ravel() for t in (a, b)
        )
        assert tensor.name == a.name == b.name
        assert error == pytest.approx(np.linalg.norm(x - y) / np.linalg.norm(x), rel=1e-4, abs=1e-9)


def test_calibrated_files_are_nearer_and_say_so(made: ConversionReport, tiny_folder: Path) -> None:
    text = Path(made.path).with_name("text.py")
    text.write_text(packaged_text("calibration")[:20_000])
    matrix = Path(made.path).with_name("im.dat")
    near = halfbyte.convert(
        tiny_folder, Path(made.path).with_name("near.gguf"), type="q4_0", calibrate=text,
        save_imatrix=matrix,
    )  # fmt: skip
    assert made.figures is not None and near.figures is not None
    assert near.figures.kl_mean < made.figures.kl_mean
    a, b = (gguf.GGUFReader(report.path).tensors for report in (made, near))
    assert [(t.name, t.tensor_type, t.n_bytes) for t in a] == [
        (t.name, t.tensor_type, t.n_bytes) for t in b
    ]
    matrices = {t.name for t in made.tensors if len(t.shape) > 1} - {"token_embd.weight"}
    assert set(load_importance(matrix).means) == matrices
    weighed = halfbyte.convert(
        tiny_folder, Path(made.path).with_name("weighed.gguf"), type="q4_0", imatrix=matrix
    )
    assert weighed.figures is not None
    assert weighed.figures.tensors_sha256 not in (
        made.figures.tensors_sha256, near.figures.tensors_sha256,
    )  # fmt: skip


def test_a_matrix_of_another_model_is_refused(
    tiny_folder: Path, infill_gguf: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.py"
    text.write_text("x = 1\n" * 99)
    halfbyte.convert(
        infill_gguf, tmp_path / "a.gguf", type="q4_0", calibrate=text, measure=False,
        save_imatrix=tmp_path / "im.gguf",
    )  # fmt: skip
    with pytest.raises(RequestError, match="imatrix"):
        halfbyte.convert(tiny_folder, tmp_path / "b.gguf", imatrix=tmp_path / "im.gguf")
    for arguments in ({"imatrix": "x", "calibrate": True}, {"save_imatrix": "x"}):
        with pytest.raises(RequestError, match="imatrix"):
            halfbyte.convert(tiny_folder, tmp_path / "b.gguf", **arguments)
    assert not (tmp_path / "b.gguf").exists()


def test_texts_to_calibrate_on(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text("second")
    (tmp_path / "a.py").write_text("first ")
    (tmp_path / "raw.bin").write_bytes(b"\xff\xfe")
    (tmp_path / "zero").write_bytes(b"\0")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("hidden")
    assert read_text(tmp_path) == "first second"
    for path in (tmp_path / "raw.bin", tmp_path / "absent", tmp_path / ".git"):
        (tmp_path / ".git" / "config").unlink(missing_ok=True)
        with pytest.raises(RequestError, match="text"):
            read_text(path)


def test_the_report_shows_every_matrix(made: ConversionReport, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", made)
    text = (tmp_path / "report.html").read_text("utf-8")
    drawing = re.search(r"<svg.*</svg>", text, re.DOTALL)
    assert drawing is not None and made.figures is not None
    svg = ElementTree.fromstring(drawing[0])
    titles = [title.text or "" for title in svg.iter("title")]
    assert [title.split()[0] for title in titles] == [
        t.name for t in made.tensors if len(t.shape) > 1
    ]
    heights = {title.text: float(circle.get("cy", "nan"))
               for circle in svg.iter("circle") for title in circle.iter("title")}  # fmt: skip
    errors = {title: float((title or "").rsplit(" ", 1)[1]) for title in heights}
    by_height = sorted(heights, key=lambda title: heights[title])
    assert [errors[t] for t in by_height] == sorted(errors.values(), reverse=True)
    assert "http" not in text and f"{made.figures.kl_mean:.5f}" in text


def test_a_report_needs_figures(made: ConversionReport, tiny_folder: Path, tmp_path: Path) -> None:
    bare = halfbyte.convert(tiny_folder, tmp_path / "x.gguf", measure=False)
    assert bare.figures is None
    with pytest.raises(ConversionError, match="report"):
        write_report(tmp_path / "r.html", bare)
    exact = halfbyte.convert(tiny_folder, tmp_path / "f32.gguf", type="f32")
    assert exact.figures is not None and exact.figures.kl_mean == 0
    assert "No matrix differs" in page(exact, exact.figures)


def test_estimates_grow_with_the_model(tiny_folder: Path, infill_gguf: Path) -> None:
    small, large = (plan_conversion(path, type="q4_k_m") for path in (tiny_folder, infill_gguf))
    for name in ("n_weights", "measuring_nbytes", "calibrating_nbytes", "measuring_flops",
                 "calibrating_flops"):  # fmt: skip
        assert 0 < getattr(small, name) < getattr(large, name)
    found = estimate(large)
    assert 0 < found.quantize_s and 0 < found.measure_s < found.calibrate_s


def test_options_by_name_are_the_fields_and_their_types() -> None:
    fields = {field.name: field.type for field in dataclasses.fields(Options)}
    assert {k: v.__forward_arg__ for k, v in ConversionOptions.__annotations__.items()} == fields


def test_unknown_options_name_the_nearest() -> None:
    with pytest.raises(RequestError, match="did you mean measure") as caught:
        Options.of(mesure=False)  # type: ignore[call-arg]
    assert caught.value.param == "mesure"


def test_weights_of_which_no_logits_are_made(tiny_folder: Path, tmp_path: Path) -> None:
    """Numbers all the same: an error where they are computed with, a file where they are not."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "hf"))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][:] = 1e36
    tensors["lm_head.weight"][:] *= 1e4
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(EngineError, match="not finite or too large"):
        halfbyte.convert(folder, tmp_path / "out.gguf", type="f32")
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
    halfbyte.convert(folder, tmp_path / "out.gguf", type="f32", measure=False)
    last = verify(tmp_path / "out.gguf", threads=1)[-1]
    assert last.name == "golden" and last.is_same is False and "not finite" in last.detail
