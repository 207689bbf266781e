"""halfbyte complete --prompts: many prompts, resumed, with errors of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.cli import prompts

TEXTS = ["ab", "cd ef", "x" * 200, "ab"]  # the third does not fit a context of 64


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "_TOGETHER", 2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    rows = [json.dumps(TEXTS[0]), json.dumps({"prompt": TEXTS[1], "id": "b", "test": 1}), ""]
    rows += [json.dumps({"id": 7, "prompt": text}) for text in TEXTS[2:]]
    path.write_text("\n".join(rows))
    return path


@pytest.fixture
def argv(file: Path, tmp_path: Path, tiny_gguf: Path) -> list[str]:
    return ["complete", "-m", str(tiny_gguf), "--prompts", str(file), "-n", "6", "-c", "64"]


def found(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_prompt_has_its_line(
    run: Any, argv: list[str], tmp_path: Path, tiny_gguf: Path
) -> None:
    out = tmp_path / "out.jsonl"
    outcome = run(*argv, "--output", str(out))
    assert (outcome.code, outcome.out) == (1, "")
    assert "error: 1 of 4 prompts failed" in outcome.err
    lines = found(out)
    assert [(line["index"], line.get("id"), line["prompt"]) for line in lines] == [
        (0, None, TEXTS[0]), (1, "b", TEXTS[1]), (2, 7, TEXTS[2]), (3, 7, TEXTS[3]),
    ]  # fmt: skip
    assert lines[2]["error"]["type"] == "ContextLengthError" and lines[2]["error"]["n_ctx"] == 64
    with halfbyte.load(tiny_gguf, ctx=64) as model:
        for line in (lines[0], lines[1], lines[3]):
            expected = model.complete(line["prompt"], max_tokens=6)
            assert (line["text"], line["tokens"]) == (expected.text, expected.tokens)
            assert line["finish_reason"] == expected.finish_reason


def test_seeds_where_one_of_a_group_is_refused(
    run: Any, argv: list[str], tmp_path: Path, tiny_gguf: Path
) -> None:
    out = tmp_path / "out.jsonl"
    run(*argv, "--output", str(out), "--temp", "1", "--seed", "3")
    with halfbyte.load(tiny_gguf, ctx=64) as model:
        for i, line in enumerate(found(out)):
            if "error" not in line:
                expected = model.complete(TEXTS[i], max_tokens=6, temperature=1, seed=3 + i)
                assert line["tokens"] == expected.tokens


def test_a_second_run_goes_on_where_the_first_was_killed(
    run: Any, argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = [*argv, "--temp", "1", "--seed", "3"]
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    run(*argv, "--output", str(whole))
    rows = whole.read_text().splitlines(keepends=True)
    out.write_text(rows[0][:15])  # killed in the middle of a line
    run(*argv, "--output", str(out))
    assert len(found(out)) == 4
    out.write_text(rows[0] + rows[1][:20])
    outcome = run(*argv, "--output", str(out))
    assert outcome.err.startswith("1 of 4 prompts are in ")
    without = [{k: v for k, v in line.items() if k != "stats"} for line in found(out)]
    assert without == [{k: v for k, v in line.items() if k != "stats"} for line in found(whole)]
    # With nothing left to do no model is loaded.
    monkeypatch.setattr(halfbyte, "load", None)
    assert "4 of 4 prompts are in" in run(*argv, "--output", str(out)).err


def test_without_an_output_the_lines_are_the_answer(run: Any, argv: list[str]) -> None:
    outcome = run(*argv, "-q")
    assert [json.loads(line)["index"] for line in outcome.out.splitlines()] == [0, 1, 2, 3]
    assert outcome.err.startswith("error: 1 of 4 prompts failed")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "line 2: expected JSON"),
        ("[1]", "line 2: expected a JSON string, or an object"),
        ('{"text": "a"}', "line 2: expected a JSON string, or an object"),
        ("[" * 100_000, "line 2: expected JSON"),
    ],
)
def test_a_line_that_is_none(run: Any, model: Any, file: Path, row: str, said: str) -> None:
    file.write_text(f'"a"\n{row}\n')
    outcome = run("complete", "--prompts", str(file))
    assert outcome.code == 1 and said in outcome.err and len(outcome.err) < 3000
    assert model.load_args == {}


def test_an_output_of_other_prompts_is_refused(
    run: Any, model: Any, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    for row in ('{"index": 0, "prompt": "other"}', '{"index": 9, "prompt": "ab"}', "1", "{}"):
        out.write_text(row + "\n")
        outcome = run("complete", "--prompts", str(file), "--output", str(out))
        assert outcome.code == 1 and "made of other prompts" in outcome.err
        assert out.read_text() == row + "\n" and model.load_args == {}
    out.write_text("notes without an end")
    assert run("complete", "--prompts", str(file), "--output", str(out)).code == 1
    assert out.read_text() == "notes without an end"


@pytest.mark.skipif(os.name == "nt", reason="needs a FIFO")
def test_a_pipe_as_output_is_only_written_to(run: Any, argv: list[str], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR)  # were it read from, that would wait for ever
    try:
        os.write(reader, b"earlier\n")
        assert run(*argv, "--output", str(pipe)).code == 1
        rows = os.read(reader, 1 << 16).decode().splitlines()
    finally:
        os.close(reader)
    assert rows[0] == "earlier" and [json.loads(row)["index"] for row in rows[1:]] == [0, 1, 2, 3]


def test_usage(run: Any, model: Any, file: Path, tmp_path: Path) -> None:
    many = ("complete", "--prompts", str(file))
    for argv in ((*many, "-p", "x"), (*many, "x"), (*many, "--json"),
                 ("complete", "x", "--output", "o")):  # fmt: skip
        assert run(*argv).code == 2
    missing = str(tmp_path / "missing")
    assert "--prompts: expected a file that can" in run("complete", "--prompts", missing).err
    assert run("complete", "--prompts", str(file), "--output", str(tmp_path)).code == 1
    assert model.load_args == {}
