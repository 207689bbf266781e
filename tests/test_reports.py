"""What README and docs make of what the benchmarks measured."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.measured import a_line, write_lines

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def common() -> dict[str, Any]:
    return a_line()


def test_callers_and_typing_say_what_was_missed(
    load: Callable[[str], Any],
    common: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = load("report_callers")
    monkeypatch.setattr(sys.modules["report_speed"], "HERE", tmp_path)
    assert report.section() == "Nothing measured yet: `make bench-callers`.\n"
    common["machine"] |= {"load_1min_at_start": 0.1}
    common["model"] |= {"file": "a.gguf"}
    old = common | {"hit": {"ids_steps": 1.0, "text_more_ms": 9.0}, "lone": {"ratio": 1.01}}
    new = common | {"hit": {"ids_steps": 1.7, "text_more_ms": 0.5}}
    write_lines(tmp_path, "callers", old, new)
    times = {"first_p50": 9.0, "first_p95": 20.0, "line_p50": 30.0, "line_p95": 40.0,
             "n_new_p50": 1, "first_p50_ratio": 0.4}  # fmt: skip
    typing = {"name": "7b", "kinds": ["jump", "key"], "target": 0.35}
    write_lines(tmp_path, "typing", common | typing | {"sides": {"auto": times, "server": times}})
    text = report.section()
    assert "in decode steps | **1.70, missed** | at most 1.5 |" in text
    assert "more than that | 0.50 ms | at most 1 ms |" in text
    assert "| a lone caller's decoding, over the engine's own | 1.01 | at most 1.02 |" in text
    assert "| halfbyte | 9.0 | 20 | 30 | 40 | 1 | **0.400, missed** (at most 0.35) |" in text
    assert "| llama-server | 9.0 | 20 | 30 | 40 | 1 |  |" in text
    assert "7B shape, 2 keys with 1 jumps" in text and "load average" not in text


def test_experts_and_hybrids_say_what_was_missed(
    load: Callable[[str], Any],
    common: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = load("report_experts")
    monkeypatch.setattr(sys.modules["report_speed"], "HERE", tmp_path)
    assert report.section() == "Nothing measured yet: `benchmarks/experts.py`.\n"
    common["machine"] |= {"load_1min_at_start": 0.1}

    def line(name: str, ours: list[float], weights: float, both: float) -> dict[str, Any]:
        rates = {"ours": ours, "llama.cpp": [10.0, 10.0]}
        shares = {"weights": weights, "with states": both}
        return common | {"name": name, "rates": rates, "shares": shares}

    write_lines(
        tmp_path, "experts", line("other", [19.0, 15.0], 0.5, 0.5),
        line("qwen35moe-q4_0", [20.0, 14.0], 0.8, 0.86), line("third", [20.0, 14.0], 0.8, 0.84),
    )  # fmt: skip
    rows = report.section().splitlines()
    name = "Qwen3.5 35B-A3B's shape, 8 layers, Q4_0"
    assert rows[2:5] == [
        f"| {name} | 2.00 (20.0 / 10.0) | 1.40 (14.0 / 10.0) | 80% | 86% |",
        "| other | **1.90 (19.0 / 10.0), missed** | 1.50 (15.0 / 10.0) | 50% | 50% |",
        "| third | 2.00 (20.0 / 10.0) | **1.40 (14.0 / 10.0), missed** | 80% | 84% |",
    ]


def test_depths_say_what_was_missed(
    load: Callable[[str], Any],
    common: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = load("report_depths")
    monkeypatch.setattr(sys.modules["report_speed"], "HERE", tmp_path)
    assert report.section() == "Nothing measured yet: `benchmarks/depths.py`.\n"
    common["machine"] |= {"load_1min_at_start": 0.1}
    cells = {
        "tg f16": {"tokens_per_s": 30.0, "over llama.cpp": 3.6},
        "pp f16": {"tokens_per_s": 90.0, "over llama.cpp": 3.9},
        "tg int8": {"tokens_per_s": 36.0, "over f16": 1.2, "over llama.cpp": 4.0},
        "pp int8": {"tokens_per_s": 130.0, "over f16": 1.5, "over llama.cpp": 5.1},
        "tg llama.cpp": {"tokens_per_s": 9.0, "over f16": 0.3},
        "pp llama.cpp": {"tokens_per_s": 23.0, "over f16": 0.25},
    }
    line = common | {"model": {"file": "1b-q4_0.gguf"}, "depth": 8192, "cells": cells}
    write_lines(tmp_path, "depths", line | {"cells": {}}, line)
    where = "1.1B shape, Q4_0, 8192"
    assert report.section().splitlines()[2:5] == [
        f"| {where} | f16 | 30.0 |  | 3.60 | 90.0 |  | **3.90, missed** |",
        f"| {where} | int8 | 36.0 | **1.20, missed** | 4.00 | 130.0 | 1.50 | 5.10 |",
        f"| {where} | llama.cpp | 9.0 |  |  | 23.0 |  |  |",
    ]


def test_answers_and_constraints_say_what_was_missed(
    load: Callable[[str], Any],
    common: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = load("report_answers")
    monkeypatch.setattr(sys.modules["report_speed"], "HERE", tmp_path)
    assert report.section() == "Nothing measured yet: `make bench-answers`.\n"
    common["machine"] |= {"load_1min_at_start": 0.1}
    common["model"] |= {"file": "1b-q4_0.gguf"}
    old, new = ({"adapter": {"ratio": r}, "prompt": {"ratio": r}} for r in (1.0, 1.2))
    write_lines(tmp_path, "candidates", common | old, common | new)
    ways = ("greedy", "drawn", "drawn of 40")
    write_lines(
        tmp_path, "constraints", common | {way: {"median": 0.014, "p99": 0.051} for way in ways}
    )
    text = report.section()
    assert (
        "| 1.1B shape: decoding with an adapter of rank 16, over without | **1.20, missed**" in text
    )
    assert "| 1.1B shape: their first token, over that of one answer | 1.20 |  |" in text
    assert "drawn, in the median: of a step | 1.4% | at most 2% |" in text
    assert "drawn, at the 99th percentile: of a step | **5.1%, missed** | at most 5% |" in text


def test_the_server_says_what_was_missed(
    load: Callable[[str], Any],
    common: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = load("report_server")
    monkeypatch.setattr(sys.modules["report_speed"], "HERE", tmp_path)
    assert report.section() == "Nothing measured yet: `make bench-server`.\n"
    common["machine"] |= {"load_1min_at_start": 0.1}
    common |= {"model": {"file": "a.gguf"}, "threads": 2}
    ratio = {"tokens_a_s": 2.5, "first_p95_s": 0.5, "gap_p95_s": 1.5}
    lines = [
        {"what": "load", "target": 3.0, "ratio": ratio, "overhead_us": 99.6},
        {"what": "queue", "answered": 24, "refused": 40, "lost": 0},
        {"what": "stream", "target": 0.9, "ratio": 0.5},
        {"what": "stream", "target": 0.9, "ratio": 0.95},
        {"what": "infill", "more_ms": 3.0},
    ]
    write_lines(tmp_path, "server", *(common | line for line in lines))
    text = report.section()
    assert "over llama-server's | **2.50, missed** | at least 3 |" in text
    assert "gap between tokens, over its | **1.50, missed** | at most 1 |" in text
    assert "a streamed token | 100 us | at most 150 us |" in text
    assert "24 answered, 40 told 429): lost | 0 | at most 0 |" in text
    assert text.count("over `model.stream`'s |") == 1  # the newest counts
    assert "over `model.stream`'s | 0.95 | at least 0.9 |" in text
    assert "after the engine's first token | 3.0 ms | at most 20 ms |" in text


def test_readme_selects_types(
    load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = load("report_conversion")
    monkeypatch.setattr(report, "HERE", tmp_path)
    assert report.selection() == "Nothing measured yet: `make bench-conversion`.\n"
    measured = {"kl_mean": 0.02, "top1": 0.9, "perplexity": 14.0, "perplexity_source": 13.5}
    rows = [
        {"type": kind, "maker": maker, "bits": 5.0, "weights": measured | {"kl_mean": kl}}
        for kind, maker, kl in (
            ("q4_0", report.OURS, 0.02), ("q4_0", report.CALIBRATED, 0.01),
            ("q6_k", report.OURS, 0.001), ("q5_1", report.OURS, 0.005),
        )
    ]  # fmt: skip
    line = {"source": report.MAIN, "rows": rows, "date": "2026-01-02T03", "commit": "abc"}
    write_lines(tmp_path, "conversion", line)
    table = [row for row in report.selection().splitlines() if row.startswith("| q")]
    assert table == [
        "| q6_k | 5.00 | 0.00100 | 90.0% | 14.000 |  |",
        "| q4_0 | 5.00 | 0.02000 | 90.0% | 14.000 | 0.01000 |",
    ]


def test_readme_and_docs_show_what_was_measured(load: Callable[[str], Any]) -> None:
    report = load("report")
    for file in report.PARTS:
        text = (BENCHMARKS.parent / file).read_text("utf-8")
        assert report.rewritten(file) == text, f"run benchmarks/report.py for {file}"


def test_a_lost_marker_is_an_error(
    load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = load("report")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text(report.BEGIN.format("speed"), "utf-8")
    with pytest.raises(ValueError, match=r"README\.md: expected the markers of speed"):
        report.rewritten("README.md")
