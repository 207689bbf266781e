"""Cells of a comparison, and lines of results, as if they had been measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

INFO = {"nbytes_per_token": 1e9, "kv_nbytes_per_token": 1e6, "macs_per_token": 2e9}


def record(cells: Any, cell: Any, ours: list[float], peer: list[float]) -> dict[str, Any]:
    """What benchmarks/cells.py makes of both engines' tokens a second."""
    cell.ours.extend(ours)
    cell.peer.extend(peer)
    return cell.record(INFO, cells.Limits(bytes_per_s=20e9, macs_per_s=1e12))


def a_line() -> dict[str, Any]:
    """What every line of results says."""
    return {
        "date": "2026-01-02T03:04:05+00:00", "commit": "abc", "rounds": 5,
        "machine": {"cores": 2, "cpu": "a CPU"}, "model": {"nbytes": 1e9},
        "limits": {"bytes_per_s": 20e9, "macs_per_s": 1e12},
        "halfbyte": {"isa": "avx2 (some-cpu)"},
        "peer": {"environment": "peer-avx2", "version": "1.2"},
    }  # fmt: skip


def write_lines(folder: Path, name: str, *lines: dict[str, Any]) -> None:
    """Lines of results/NAME.jsonl in a folder that stands for benchmarks/."""
    (folder / "results").mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "results" / f"{name}.jsonl").write_text(text, "utf-8")
