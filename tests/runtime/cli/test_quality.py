"""halfbyte verify, perplexity and compare on small real files, against float64 arithmetic."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.gguf.file import GGUFFile
from halfbyte.golden import golden_continuation, lead_lost
from halfbyte.quality.figures import (
    N_GOLDEN,
    NO_TOKEN,
    Figures,
    patch,
    tensors_sha256,
    tokenizer_sha256,
)
from halfbyte.tokenizer.vocabulary import Vocabulary

N_TENSORS = 21
TEXT = "def total(values):\n    return sum(values)\n" * 8
WINDOW = ["--window", "48", "--max-windows", "3"]


@pytest.fixture(scope="module")
def files(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small checkpoint as F32 and as Q4_0, measured."""
    folder = tmp_path_factory.mktemp("quality")
    for kind in ("f32", "q4_0"):
        halfbyte.convert(tiny_folder, folder / f"{kind}.gguf", type=kind)
    (folder / "text.py").write_text(TEXT)
    return {name: folder / f"{name}.gguf" for name in ("f32", "q4_0")}


@pytest.fixture
def recorded(files: dict[str, Path], tmp_path: Path) -> tuple[Path, Figures]:
    """A file that carries what is true of it."""
    path = Path(shutil.copy(files["q4_0"], tmp_path / "x.gguf"))
    with GGUFFile.open(path) as file:
        tensors = tensors_sha256(file)
        vocabulary = tokenizer_sha256(Vocabulary.from_metadata(file.metadata))
    with halfbyte.load(path, threads=1) as model:
        golden = golden_continuation(model)
    figures = Figures(
        tensors_sha256=tensors, tokenizer_sha256=vocabulary, golden_tokens=golden.tokens,
        golden_margin=golden.margin, tensor_errors=(0.5,) * N_TENSORS, n_positions=100,
        kl_mean=0.25, kl_p99=0.5, top1=0.75, perplexity=8.0, perplexity_source=7.5,
    )  # fmt: skip
    patch(path, figures)
    return path, figures


def words(outcome: Any) -> dict[str, str]:
    """Check -> same, DIFFERS or not."""
    return {line.split()[0]: line.split()[1] for line in outcome.out.splitlines()}


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def windows_of(path: Path, n: int) -> list[list[int]]:
    """The windows of 48 tokens that the commands should take, by hand."""
    with GGUFFile.open(path) as file:
        tokenizer = halfbyte.Tokenizer.from_gguf(file)
    ids = tokenizer.encode(TEXT, add_bos=False)
    return [[1, *ids[i * 47 : (i + 1) * 47]] for i in range(n)]


def test_verify_says_same_of_a_file_that_is_the_same(
    run: Any, recorded: tuple[Path, Figures]
) -> None:
    path, figures = recorded
    outcome = run("verify", str(path))
    assert outcome.code == 0
    assert words(outcome) == dict.fromkeys(("tensors", "tokenizer", "numbers", "golden"), "same")
    checks = json.loads(run("verify", str(path), "--json").out)["checks"]
    assert [check["is_same"] for check in checks] == [True] * 4
    assert checks[0]["detail"] == figures.tensors_sha256
    assert "mean KL 0.25000, p99 0.50000, top-1 75.00%" in run("inspect", str(path)).out


def test_verify_of_what_a_conversion_wrote(run: Any, files: dict[str, Path]) -> None:
    for path in files.values():
        outcome = run("verify", str(path))
        assert outcome.code == 0
        assert set(words(outcome).values()) == {"same"}
        assert "measured at conversion" in run("inspect", str(path)).out


def test_verify_without_a_record_says_so(run: Any, tiny_gguf: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.gguf"
    bare.write_bytes(tiny_gguf.read_bytes().replace(b"halfbyte.", b"elsewise."))
    unmeasured = {"tensors": "same", "tokenizer": "same", "numbers": "same", "golden": "not"}
    nothing = {"tensors": "not", "tokenizer": "not", "numbers": "same", "golden": "not"}
    for path, expected in ((tiny_gguf, unmeasured), (bare, nothing)):
        outcome = run("verify", str(path))
        assert outcome.code == 0
        assert words(outcome) == expected
        assert "measured at conversion" not in run("inspect", str(path)).out


def test_verify_sees_one_changed_byte(run: Any, recorded: tuple[Path, Figures]) -> None:
    path, _ = recorded
    with GGUFFile.open(path) as file:
        at = file.tensors["blk.1.ffn_up.weight"].offset + 10  # a code
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    outcome = run("verify", str(path))
    assert outcome.code == 1 and outcome.err.splitlines()[-1].startswith(f"error: {path}: tensors")
    assert words(outcome)["tensors"] == "DIFFERS" and words(outcome)["tokenizer"] == "same"


def test_verify_sees_a_changed_vocabulary(run: Any, recorded: tuple[Path, Figures]) -> None:
    path, _ = recorded
    data = path.read_bytes()
    assert data.count("\u2581b".encode()) == 1
    path.write_bytes(data.replace("\u2581b".encode(), "\u2581Z".encode()))
    outcome = run("verify", str(path))
    assert outcome.code == 1 and words(outcome)["tokenizer"] == "DIFFERS"
    assert words(outcome)["tensors"] == "same"


def test_verify_names_weights_that_are_no_numbers(run: Any, recorded: tuple[Path, Figures]) -> None:
    path, _ = recorded
    with GGUFFile.open(path) as file:
        at = file.tensors["blk.1.ffn_up.weight"].offset
    data = bytearray(path.read_bytes())
    data[at : at + 2] = np.float16(np.nan).tobytes()
    path.write_bytes(data)
    outcome = run("verify", str(path))
    assert outcome.code == 1 and words(outcome)["numbers"] == "DIFFERS"
    assert "blk.1.ffn_up.weight" in outcome.out and "golden" not in words(outcome)


def test_verify_tells_rounding_from_another_continuation(
    run: Any, recorded: tuple[Path, Figures], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, figures = recorded
    tokens = list(figures.golden_tokens)
    tokens[5] = (tokens[5] + 1) % 300
    patch(path, dataclasses.replace(figures, golden_tokens=tuple(tokens)))
    outcome = run("verify", str(path))
    assert outcome.code == 1 and words(outcome)["golden"] == "DIFFERS"
    assert "beyond rounding" in outcome.out
    monkeypatch.setattr("halfbyte.verification._ROUNDING", 100.0)
    outcome = run("verify", str(path))
    assert outcome.code == 0 and "within rounding" in outcome.out


def test_the_golden_continuation_and_its_margin(files: dict[str, Path]) -> None:
    with halfbyte.load(files["f32"], threads=1) as model:
        golden = golden_continuation(model)
        ids = model.tokenizer.encode("def fibonacci(n):\n")
        leads = []
        for token in golden.tokens:
            second, best = np.sort(model.logits(ids)[-1])[-2:]
            assert model.logits(ids)[-1].argmax() == token
            leads.append(best - second)
            ids.append(token)
        assert len(golden.tokens) == N_GOLDEN and golden.margin == float(min(leads))
        logits = model.logits(ids[: -N_GOLDEN + 2])[-1]
        other = (*golden.tokens[:2], 7, *golden.tokens[3:])
        assert lead_lost(model, other, golden.tokens) == float(logits.max() - logits[7])
        ended = (*golden.tokens[:2], *[NO_TOKEN] * 30)
        assert math.isinf(lead_lost(model, ended, golden.tokens))
    assert N_GOLDEN == 32  # what files hold


def test_perplexity_is_that_of_exact_arithmetic(
    run: Any, files: dict[str, Path], benchmark_module: Callable[[str], ModuleType]
) -> None:
    path = files["f32"]
    options = ["--text", str(path.with_name("text.py")), *WINDOW, "--kv-type", "f32"]
    found = json.loads(run("perplexity", str(path), *options, "--json").out)
    model = benchmark_module("reference_model").ReferenceModel(path)
    losses = [
        -log_softmax(model.logits(ids))[np.arange(47), ids[1:]] for ids in windows_of(path, 3)
    ]
    mean = float(np.mean(losses))
    assert found["perplexity"] == pytest.approx(math.exp(mean), rel=1e-4)
    error = np.std(losses, ddof=1) / math.sqrt(3 * 47)
    assert found["standard_error"] == pytest.approx(math.exp(mean) * error, rel=1e-3)
    assert (found["n_tokens"], found["n_windows"], found["window"]) == (141, 3, 48)
    outcome = run("perplexity", str(path), *options)
    assert outcome.out.startswith(f"perplexity {found['perplexity']:.4f} +- ")
    assert "(as run)" in outcome.out and "141 tokens predicted in 3 windows of 48" in outcome.err


def test_compare_keeps_weights_and_runs_apart(
    run: Any, files: dict[str, Path], benchmark_module: Callable[[str], ModuleType]
) -> None:
    text = str(files["f32"].with_name("text.py"))
    paths = [str(files["f32"]), str(files["q4_0"])]
    found = json.loads(run("compare", *paths, "--text", text, *WINDOW, "--json").out)
    reference_model = benchmark_module("reference_model").ReferenceModel
    models = [reference_model(path) for path in paths]
    ids = windows_of(files["f32"], 3)
    p, q = (np.array([log_softmax(model.logits(window)) for window in ids]) for model in models)
    kl = (np.exp(p) * (p - q)).sum(-1)
    assert found["weights"]["kl_mean"] == pytest.approx(kl.mean(), rel=1e-3)
    assert found["weights"]["top1"] == (p.argmax(-1) == q.argmax(-1)).mean()
    with halfbyte.load(paths[0], threads=1) as a, halfbyte.load(paths[1], threads=1) as b:
        p, q = (np.array([log_softmax(m.logits(window)) for window in ids]) for m in (a, b))
    as_run = (np.exp(p) * (p - q)).sum(-1)
    assert found["as run"]["kl_mean"] == pytest.approx(as_run.mean(), rel=1e-6)
    assert found["as run"]["kl_mean"] != found["weights"]["kl_mean"]
    worst = found["worst"][0]
    assert worst["kl"] == pytest.approx(kl.max(), rel=1e-3)
    assert (worst["window"], worst["position"]) == np.unravel_index(kl.argmax(), kl.shape)
    assert worst["before"] and worst["before"] in " " + TEXT


def test_compare_with_a_folder_has_weights_only(
    run: Any, files: dict[str, Path], tiny_folder: Path
) -> None:
    outcome = run("compare", str(tiny_folder), str(files["f32"]), *WINDOW)
    assert outcome.code == 0
    row = next(line for line in outcome.out.splitlines() if line.startswith("weights"))
    assert row.split()[1:4] == ["0.00000", "0.00000", "100.00%"]
    assert "as run" not in outcome.out


def test_what_cannot_be_compared_or_read(
    run: Any, files: dict[str, Path], infill_gguf: Path, tmp_path: Path
) -> None:
    path = str(files["f32"])
    outcome = run("compare", path, str(infill_gguf), *WINDOW)
    assert outcome.code == 1 and "vocabulary of A" in outcome.err
    outcome = run("perplexity", path, "--text", str(tmp_path / "absent"))
    assert outcome.code == 1 and "readable file" in outcome.err
    outcome = run("perplexity", path, "-c", "64", "--window", "65")
    assert outcome.code == 1 and "at most the context, 64" in outcome.err


def test_a_split_model_is_what_the_whole_is(
    run: Any, files: dict[str, Path], split: Callable[..., list[Path]], tmp_path: Path
) -> None:
    whole, folder = files["q4_0"], tmp_path / "split"
    folder.mkdir()
    shards = split(whole, folder, 6)
    for path in (shards[1], folder):
        assert words(run("verify", str(path))) == words(run("verify", str(whole)))
        assert f" in {len(shards)} files\n" in run("inspect", str(path)).out
    found = [json.loads(run("inspect", str(path), "--json").out) for path in (whole, shards[1])]
    assert found[0]["tensors"] == found[1]["tensors"]
    assert found[1]["files"] == [str(path) for path in shards]
    outcome = run("compare", str(whole), str(folder), *WINDOW)
    rows = [line.split() for line in outcome.out.splitlines()[1:3]]
    assert [row[-5:-2] for row in rows] == [["0.00000", "0.00000", "100.00%"]] * 2
    for name, path in (("a", whole), ("b", folder)):
        assert run("convert", str(path), str(tmp_path / name), "--no-measure").code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    tokens = [run("tokenize", "-m", str(path), "-p", TEXT).out for path in (whole, folder)]
    assert tokens[0] == tokens[1] != ""
    outcome = run("convert", str(folder), str(shards[2]), "--force")
    assert outcome.code == 1 and "another file than the source" in outcome.err
