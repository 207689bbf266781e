"""What README and docs make of what the benchmarks measured of speed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.measured import a_line, record, write_lines


@pytest.fixture
def common() -> dict[str, Any]:
    return a_line()


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
    write_lines(tmp_path, "suite", gone, old, new)
    encoding = {"sentencepiece": {"ratio": 0.971}, "libraries": {"sentencepiece": "0.2"}}
    write_lines(tmp_path, "tokenizer", common | encoding)
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
    write_lines(
        tmp_path, "suite", line | {"cells": made}, line | {"cells": eight},
        line | {"cells": made, "halfbyte": {"isa": "avx2 (cpu)"}},
        line | {"cells": seven, "name": "7b-q4_0"},
    )  # fmt: skip
    times = {"what": "`import halfbyte`", "target": 0.45, "ours": [0.5], "peer": [0.25]}
    write_lines(tmp_path, "start", common | times, common | times | {"ours": [0.2, 0.4, 0.3]})
    memory = common | {"kv_nbytes": 1e8, "bound_nbytes": 1.25e9}
    write_lines(
        tmp_path, "memory", memory | {"name": "1b-q4_0", "peak_nbytes": 1.6e9, "is_met": False},
        memory | {"name": "7b-q4_0", "peak_nbytes": 1.25e9, "is_met": True},
    )  # fmt: skip
    sides = {name: {"kept": 0.44, "is_bound": name == "llama.cpp"}
             for name in ("halfbyte", "llama.cpp")}  # fmt: skip
    kept = {"name": "1b-q4_0", "engines": sides, "idle_cpu": None, "target": 0.45, "is_met": False}
    write_lines(tmp_path, "contention", common | kept)
    write_lines(tmp_path, "kv_types", *(
        common | {"kv_type": kv_type, "depth": 1024, "kl_mean": 0.0012}
        for kv_type in ("int4", "int8", "f32")
    ))  # fmt: skip
    long = {"n_prompt": 100_000, "peak_nbytes": 24.5e9, "wall_s": 5400}
    write_lines(tmp_path, "long_prompt", common | long | {"model": {"file": "7b-q4_0.gguf"}})
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
    write_lines(tmp_path, "suite", line | {"group": "1b-q8_0"}, line | {"group": "1b-avx2"})
    text = report.selection()
    assert "| 1.1B shape, Q4_0, both AVX2 | 250 | 100 | 2.50 | 9.0 | 6.0 | 1.50 |\n" in text
    assert text.count("1.1B shape") == 1


def test_each_machine_has_its_table_and_readme_what_the_newest_lacks(
    load: Callable[[str], Any],
    common: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells, report = load("cells"), load("report_speed")
    monkeypatch.setattr(report, "HERE", tmp_path)

    def line(group: str, cpu: str, isa: str, rate: float) -> dict[str, Any]:
        made = [record(cells, cell, [rate], [10.0]) for cell in (cells.prefill(8), cells.decode(8))]
        facts = {"group": group, "name": "7b-q4_0", "threads": 2, "cells": made}
        return common | facts | {"machine": {"cores": 2, "cpu": cpu}, "halfbyte": {"isa": isa}}

    old = [line("7b", "Old", "amx (x)", 20.0), line("7b-avx512", "Old", "avx512vnni (x)", 30.0)]
    write_lines(tmp_path, "suite", *old, line("7b", "New", "avx512vnni (y)", 40.0))
    rows = [row for row in report.section().splitlines() if "| pp8 |" in row]
    assert [row.split(" | ")[0] + row.split("|")[3] for row in rows] == [
        "| 7B shape, Q4_0, both AVX-512 40.0 ",
        "| 7B shape, Q4_0, both AVX-512 30.0 ",
        "| 7B shape, Q4_0, both AMX 20.0 ",
    ]
    assert report.selection().splitlines()[2:] == [
        "| 7B shape, Q4_0, both AVX-512 | 40.0 | 10.0 | 4.00 | 40.0 | 10.0 | 4.00 |",
        "| 7B shape, Q4_0, both AMX | 20.0 | 10.0 | 2.00 | 20.0 | 10.0 | 2.00 |",
        "",
        (
            "2 cores each, shared, medians of turns in one run: New (AVX-512, 2026-01-02); "
            "Old (AMX, 2026-01-02)."
        ),
        "llama-cpp-python 1.2, built there.",
    ]


def test_a_long_prompt_slows_down_with_its_depth(
    load: Callable[[str], Any],
    common: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = load("report_long_prompt")
    monkeypatch.setattr(sys.modules["report_speed"], "HERE", tmp_path)
    assert report.section() == "Nothing measured yet: `benchmarks/long_prompt.py`.\n"
    common["machine"] |= {"load_1min_at_start": 0.1}
    facts = {
        "threads": 2, "kv_type": "int4", "n_prompt": 1000, "wall_s": 300.0, "cpu_s": 360.0,
        "decode_tps": 0.5, "peak_nbytes": 2e9, "model": {"file": "7b-q4_0.gguf", "nbytes": 1e9},
        "calls": [[400, 100.0, 160.0], [1000, 200.0, 200.0]],
    }  # fmt: skip
    write_lines(tmp_path, "long_prompt", common | facts)
    text = report.section()
    assert text.splitlines()[2:4] == [
        "| 400 | 4.0 | 5.0 | 2 min |",
        "| 1,000 | 3.0 | 6.0 | 5 min |",
    ]
    assert "1,000 tokens in 5 min (3 min of each core's time), then 0.50 tok/s.\n" in text
    assert "At most 2.0 GB were resident, of which 1.0 are weights.\n" in text
