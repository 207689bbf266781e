"""halfbyte bench and warmup, with a fake model."""

from __future__ import annotations

import json
from typing import Any

import pytest

import halfbyte
from halfbyte import system
from halfbyte.cli import speed


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "describe_isa", lambda: "generic (some-cpu)")
    monkeypatch.setattr(system, "read_bandwidth", lambda threads: threads * 20e9)


@pytest.fixture
def model(model: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The fake one, whose seconds come from its script."""
    monkeypatch.setattr(speed, "random_tokens", lambda engine, n: [5] * n)
    monkeypatch.setattr(speed, "prefill_s", lambda model, tokens: model.bench_prefill(len(tokens)))
    monkeypatch.setattr(speed, "decode_s", lambda model, n: model.bench_decode(n))
    return model


def test_json(run: Any, model: Any) -> None:
    outcome = run("bench", "-p", "512", "-n", "128", "--json")
    assert outcome.code == 0
    # The first run of each does not count; then 512 tokens take 1, 2, 4, 8 and 16 seconds.
    assert json.loads(outcome.out) == {
        "results": [
            {"test": "pp512", "n": 512, "tok_s": 128.0, "runs": [512.0, 256.0, 128.0, 64.0, 32.0],
             "gb_s": None, "bandwidth_share": None},
            {"test": "tg128", "n": 128, "tok_s": 10.0, "runs": [10.0] * 5,
             "gb_s": 10.0, "bandwidth_share": 0.25},
        ],
        "model": "/models/fake.gguf", "threads": 2, "isa": "generic (some-cpu)",
        "kv_type": "f16", "arithmetic": "int8", "nbytes_per_token": 1_000_000_000,
        "read_bandwidth_gb_s": 40.0, "load_s": 0.25, "version": halfbyte.__version__,
    }  # fmt: skip
    assert model.benched == [("pp", 512)] * 6 + [("tg", 128)] * 6


def test_table(run: Any, model: Any) -> None:
    outcome = run("bench", "-r", "3", "-t", "2")
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines] == ["test", "pp512", "tg128"]
    assert lines[1].split() == ["pp512", "256.0", "128.0", "512.0"]
    assert lines[2].split() == ["tg128", "10.0", "10.0", "10.0", "10.0", "25%"]
    assert "this machine reads 40.0 GB/s" in outcome.err
    assert model.load_args["threads"] == 2


def test_what_stays_in_the_caches_has_no_share(
    run: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "read_bandwidth", lambda threads: 1.25e9)
    row = run("bench", "-r", "1", "-p", "0").out.splitlines()[1]
    assert row.split() == ["tg128", "10.0", "10.0", "10.0", "10.0", "cached"]


@pytest.mark.parametrize("option", ["-p", "-n"])
def test_more_than_the_context_is_refused(run: Any, model: Any, option: str) -> None:
    outcome = run("bench", option, str(model.n_ctx + 1))
    assert outcome.code == 1 and f"expected at most the context, {model.n_ctx}" in outcome.err
    assert model.benched == []


@pytest.mark.parametrize("command", ["bench", "warmup"])
@pytest.mark.parametrize("argv", [["m.gguf"], ["-m", "m.gguf"], ["-t", "1", "--", "m.gguf"]])
def test_the_bare_argument_is_the_model(
    run: Any, model: Any, command: str, argv: list[str]
) -> None:
    assert run(command, *argv).code == 0
    assert model.load_args["model"] == "m.gguf"
    assert run(command, "a", "-m", "b").code == 2


def test_zero_skips(run: Any, model: Any) -> None:
    run("bench", "-p", "0", "-n", "4", "-r", "1")
    assert model.benched == [("tg", 4)] * 2


def test_a_real_model(run: Any) -> None:
    outcome = run(
        "bench", "-m", "infill-10m", "-p", "300", "-n", "2", "-r", "1", "-t", "2", "--json"
    )
    results = json.loads(outcome.out)["results"]
    assert [(r["test"], len(r["runs"])) for r in results] == [("pp300", 1), ("tg2", 1)]
    assert all(r["tok_s"] > 0 for r in results)


def test_warmup(run: Any, model: Any) -> None:
    outcome = run("warmup", "-m", "m.gguf")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.startswith("ready in ")
    assert model.is_closed and model.load_args["model"] == "m.gguf"
