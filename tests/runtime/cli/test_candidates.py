"""Several answers and their probabilities on the command line, and halfbyte score."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte
from halfbyte.cli.candidates import as_dicts

COMPLETE = ("complete", "-m", "infill-10m", "-p", "def f(", "-n", "4")


def test_candidates_come_as_a_list(run: Any, infill_model: halfbyte.Model) -> None:
    given = ("--candidates", "2", "--best-of", "3", "--temp", "1", "--seed", "5", "--logprobs", "1")
    found = json.loads(run(*COMPLETE, *given, "--json").out)["candidates"]
    how: dict[str, Any] = {"n": 2, "best_of": 3, "temperature": 1.0, "seed": 5, "logprobs": 1}
    wanted = as_dicts(infill_model.complete("def f(", max_tokens=4, **how))
    assert found == json.loads(json.dumps(wanted)) and found[0]["score"] >= found[1]["score"]
    assert [one["token"] for one in found[0]["logprobs"]] == found[0]["tokens"]


def test_the_best_one_is_an_answer(run: Any, infill_model: halfbyte.Model) -> None:
    best = infill_model.complete("def f(", max_tokens=4, num_beams=3)
    assert run(*COMPLETE, "--beams", "3").out == best.text
    found = json.loads(run(*COMPLETE, "--beams", "3", "--json").out)
    assert found["text"] == best.text and found["score"] == best.score
    told = json.loads(run(*COMPLETE, "--logprobs", "0", "--json").out)["logprobs"]
    assert [one["top"] for one in told] == [[]] * len(told)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--candidates", "2"], "--candidates needs --json"),
        (["--logprobs", "1"], "--logprobs needs --json"),
        (["--candidates", "3", "--best-of", "2", "--json"], "--best-of: expected a whole number"),
        (["--beams", "2", "--candidates", "3", "--json"], "--candidates: expected at most num_"),
        (["--logprobs", "9999", "--json"], "--logprobs: expected a whole number from 0 to 256"),
        (["--candidates", "0"], "from 1"),
    ],
)
def test_wrong_command_lines(run: Any, given: list[str], said: str) -> None:
    outcome = run("complete", "-p", "x", *given)
    assert outcome.code == 2 and said in outcome.err
    many = run("complete", "--prompts", "x.jsonl", "--beams", "2")
    assert many.code == 2 and "--beams is for one prompt" in many.err


def test_scores(run: Any, infill_model: halfbyte.Model) -> None:
    given = ("score", "-m", "infill-10m", "-p", "import nu", "mpy", "mber")
    scores = infill_model.score("import nu", ["mpy", "mber"])
    lines = run(*given).out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [f"{s.logprob:.4f}" for s in scores]
    assert lines[1].endswith("  'mpy'")
    found = json.loads(run(*given, "--json").out)["scores"]
    assert [one["logprob"] for one in found] == [score.logprob for score in scores]
    assert run("score", "-p", "x").code == 2


def test_perplexity_as_llama_cpp_counts(
    run: Any, infill_model: halfbyte.Model, tmp_path: Any
) -> None:
    text = "def f(x):\n    return x + 1\n\n" * 20
    (tmp_path / "t.py").write_text(text)
    given = ("perplexity", "infill-10m", "--llama-cpp", "--window", "32")
    given += ("--text", str(tmp_path / "t.py"))
    wanted = infill_model.perplexity(text, window=32)
    assert json.loads(run(*given, "--json").out)["perplexity"] == wanted.value
    outcome = run(*given)
    assert outcome.out.startswith(f"perplexity {wanted.value:.4f} +- ")
    assert f"{wanted.n_tokens} tokens counted" in outcome.err
    assert run(*given, "--max-windows", "1").code == 2


def test_scores_and_perplexities_go_through_adapters(
    run: Any, tiny_folder: Path, tiny_gguf: Path, tmp_path: Path,
    benchmark_module: Callable[[str], ModuleType],
) -> None:  # fmt: skip
    from safetensors.numpy import load_file

    made = benchmark_module("tiny_adapter")
    weights = load_file(tiny_folder / "model.safetensors")
    folder = made.save(made.TinyAdapter(seed=1, r=4, alpha=8), weights, tmp_path / "a")
    text = "ab cd ef gh " * 30
    (tmp_path / "t.txt").write_text(text)
    adapter = ["--adapter", f"{folder}=0.5"]
    with halfbyte.load(tiny_gguf, adapter=(folder, 0.5)) as model:
        (score,) = model.score("ab cd", [" ef"])
        wanted = model.perplexity(text, window=32)
        assert score != model.score("ab cd", [" ef"], adapter=[])[0]
    found = json.loads(
        run("score", "-m", str(tiny_gguf), *adapter, "-p", "ab cd", " ef", "--json").out
    )
    assert found["scores"][0]["logprob"] == score.logprob
    given = ["perplexity", str(tiny_gguf), "--llama-cpp", "--window", "32", "--json"]
    given += ["--text", str(tmp_path / "t.txt"), *adapter]
    assert json.loads(run(*given).out)["perplexity"] == wanted.value
