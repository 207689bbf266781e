"""The record of every benchmark run: one JSON line each, with what a reader needs to place it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"
# Taken when the benchmark starts: at its end the number would mostly count the benchmark itself.
LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
BUSY = 0.5  # one-minute load average from which a warning is given


def warn_if_busy() -> None:
    """Say so on stderr where something else runs: only ratios then mean something, if at all."""
    if LOAD is not None and LOAD > BUSY:
        print(f"warning: load average {LOAD:.1f}; something else runs", file=sys.stderr)


def append(name: str, model: Path, threads: int, facts: dict[str, Any]) -> None:
    """Append one line to results/NAME.jsonl and say so on stderr."""
    line = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": _machine(),
        "versions": {p: version(p) for p in ("halfbyte", "numba", "numpy", "llvmlite")}
        | {"python": platform.python_version()},
        "model": {"file": model.name, "nbytes": model.stat().st_size},
        "threads": threads,
    } | facts
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.jsonl"
    with path.open("a", encoding="utf-8") as out:
        print(json.dumps(line), file=out)
    print(f"appended to {path.relative_to(FOLDER.parent.parent)}", file=sys.stderr)


def _commit() -> str | None:
    """The commit checked out, `+` after it where files differ (but results); None without git."""
    try:
        differs = _git("status", "--porcelain", "--", ":/", ":(top,exclude)benchmarks/results")
        return _git("rev-parse", "--short", "HEAD") + ("+" if differs else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words: str) -> str:
    run = subprocess.run(
        ["git", "-C", str(FOLDER.parent), *words], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def _machine() -> dict[str, Any]:
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "load_1min_at_start": LOAD,
    }
