"""What README and docs make of what the benchmarks measured."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.measured_cells import record

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def common() -> dict[str, Any]:
    """What every line of results says."""
    return {
        "date": "2026-01-02T03:04:05+00:00", "commit": "abc", "rounds": 5,
        "machine": {"cores": 2, "cpu": "a CPU"}, "model": {"nbytes": 1e9},
        "limits": {"bytes_per_s": 20e9, "macs_per_s": 1e12},
        "halfbyte": {"isa": "avx2 (some-cpu)"},
        "peer": {"environment": "peer-avx2", "version": "1.2"},
    }  # fmt: skip


def test_the_tables_say_what_was_missed(
    load: Callable[[str], Any],
    common: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells, report = load("cells"), load("report_speed")
    monkeypatch.setattr(report, "HERE", tmp_path)
    assert report.section() == "Nothing measured yet: `make bench`.\n"
    gone, old, new = (
        common | {
            "group": group, "name": "1b-q4_0", "threads": 1,
            "cells": [record(cells, cells.prefill(512, 2.0), [rate], [100.0])],
        }
        for group, rate in (("gone", 250.0), ("1b-avx2", 250.0), ("1b-avx2", 150.0))
    )  # fmt: skip
    _write(tmp_path, "suite", gone, old, new)
    encoding = {"sentencepiece": {"ratio": 0.971}, "libraries": {"sentencepiece": "0.2"}}
    _write(tmp_path, "tokenizer", common | encoding)
    text = report.section()
    assert text.count("| pp512 |") == 1
    assert ("| 1.1B shape, Q4_0, both AVX2, 1 thread | pp512 | 150 | 100 | **1.50, missed** "
            "(1.50-1.50) | 2.00 |  | 30% |") in text  # fmt: skip
    assert "2026-01-02, commit abc" in text
    assert "\n0.97 of the speed of sentencepiece 0.2 themselves; 2026-01-02, commit abc.\n" in text


def test_goals_stand_beside_what_is_reached(
    load: Callable[[str], Any],
    common: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells, report = load("cells"), load("report_goals")
    monkeypatch.setattr(sys.modules["report_speed"], "HERE", tmp_path)
    assert report.section() == "Nothing measured yet: `make bench`.\n"
    made = [
        record(cells, cells.prefill(512), [250.0], [100.0]),
        record(cells, cells.decode(64, 2048), [1.0], [1.0]),
        record(cells, cells.decode(64), [9.0], [6.0]),
    ]
    line = common | {"name": "1b-q4_0", "threads": 2, "halfbyte": {"isa": "avx512vnni (cpu)"}}
    eight = [record(cells, cells.batch(8, 16), [9.0], [1.0])]
    seven = [record(cells, cells.decode(10), [18.3], [1.0])]
    _write(
        tmp_path, "suite", line | {"cells": made}, line | {"cells": eight},
        line | {"cells": made, "halfbyte": {"isa": "avx2 (cpu)"}},
        line | {"cells": seven, "name": "7b-q4_0"},
    )  # fmt: skip
    times = {"what": "`import halfbyte`", "target": 0.45, "ours": [0.5], "peer": [0.25]}
    _write(tmp_path, "start", common | times, common | times | {"ours": [0.2, 0.4, 0.3]})
    memory = common | {"name": "1b-q4_0", "peak_nbytes": 1.6e9, "kv_nbytes": 1e8}
    _write(tmp_path, "memory", memory, memory | {"name": "7b-q4_0", "peak_nbytes": 1.25e9})
    sides = {name: {"kept": 0.44, "is_bound": name == "llama.cpp"}
             for name in ("halfbyte", "llama.cpp")}  # fmt: skip
    _write(tmp_path, "contention",
           common | {"name": "1b-q4_0", "engines": sides, "idle_cpu": None})  # fmt: skip
    _write(tmp_path, "kv_types", *(
        common | {"kv_type": kv_type, "depth": 1024, "kl_mean": 0.0012}
        for kv_type in ("int4", "int8", "f32")
    ))  # fmt: skip
    long = {"n_prompt": 100_000, "peak_nbytes": 24.5e9, "wall_s": 5400}
    _write(tmp_path, "long_prompt", common | long | {"model": {"file": "7b-q4_0.gguf"}})
    shape, goal = "1.1B shape, Q4_0", "90% of the bandwidth, or 1.3 x llama.cpp"
    kl = "SmolLM2-135M, {}: KL from f16 at 1024 tokens"
    kept, more = (
        "decode speed kept beside a busy process per core",
        "peak memory beyond file and KV",
    )
    assert report.section().splitlines()[2:] == [
        f"| {' | '.join(cells)} | 2026-01-02, a CPU |"
        for cells in (
            # a token reads 1 GB of weights and half of its cells' positions, 1 MB each
            (f"{shape}: decoding", goal, "46.4%, 1.50 x"),
            ("7B shape, Q4_0: decoding", "93% of the bandwidth", "**92.0%, 18.30 x, missed**"),
            (f"{shape}: pp512", "2.6 x llama.cpp", "**2.50 x, missed**"),
            (kl.format("int8"), "below 0.001", "**0.00120, missed**"),
            (kl.format("int4"), "below 0.02", "0.00120"),
            ("7B shape, Q4_0: a prompt of 100000 tokens", "100000 tokens within 24 GB",
             "**24.5 GB, in 1.5 hours, missed**"),
            ("`import halfbyte`", "0.45 s", "0.30 s (llama.cpp: 0.25 s)"),
            (f"{shape}: {kept}", "45%", "**44.0% (llama.cpp: under 44.0%), missed**"),
            (f"{shape}: {more} cache", "150 MB", "**500 MB, missed**"),
            (f"7B shape, Q4_0: {more} cache", "150 MB", "150 MB"),
        )
    ]  # fmt: skip


def test_readme_selects_a_prompt_and_a_generation(
    load: Callable[[str], Any],
    common: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells, report = load("cells"), load("report_speed")
    monkeypatch.setattr(report, "HERE", tmp_path)
    assert report.selection() == "Nothing measured yet: `make bench`.\n"
    made = [
        record(cells, cells.prefill(512), [250.0], [100.0]),
        record(cells, cells.decode(64), [9.0], [6.0]),
        record(cells, cells.decode(64, 2048), [1.0], [1.0]),
    ]
    line = common | {"name": "1b-q4_0", "threads": 2, "cells": made}
    _write(tmp_path, "suite", line | {"group": "1b-q8_0"}, line | {"group": "1b-avx2"})
    text = report.selection()
    assert "| 1.1B shape, Q4_0, both AVX2 | 250 | 100 | 2.50 | 9.0 | 6.0 | 1.50 |\n" in text
    assert text.count("1.1B shape") == 1


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
    _write(tmp_path, "callers", old, new)
    times = {"first_p50": 9.0, "first_p95": 20.0, "line_p50": 30.0, "line_p95": 40.0,
             "n_new_p50": 1, "first_p50_ratio": 0.4}  # fmt: skip
    typing = {"name": "7b", "kinds": ["jump", "key"], "target": 0.35}
    _write(tmp_path, "typing", common | typing | {"sides": {"auto": times, "server": times}})
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

    _write(
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
    _write(tmp_path, "depths", line | {"cells": {}}, line)
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
    _write(tmp_path, "candidates", common | old, common | new)
    ways = ("greedy", "drawn", "drawn of 40")
    _write(tmp_path, "constraints", common | {way: {"median": 0.014, "p99": 0.051} for way in ways})
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
    _write(tmp_path, "server", *(common | line for line in lines))
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
    _write(tmp_path, "conversion", line)
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


def _write(folder: Path, name: str, *lines: dict[str, Any]) -> None:
    (folder / "results").mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "results" / f"{name}.jsonl").write_text(text, "utf-8")
