"""Decoding beside other busy processes, one for each core, and what an idle engine costs.

    python benchmarks/contention.py [MODEL ...] [--rounds 3] [--tokens 48]

In turns, halfbyte and llama.cpp decode on a quiet machine and beside the busy processes; a fair
share is near half of the speed. llama.cpp's threads wait for each other by spinning, which may take
minutes: it gets few tokens and a minute, and what it then has not done is recorded as a bound.
Lines are appended to benchmarks/results/contention.jsonl.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import environments
import results
from protocol import Worker
from suite import model_path

from halfbyte import settings

HERE = Path(__file__).resolve().parent
MODELS = ("smollm2-135m", "1b-q4_0")
PEER_TOKENS, TIMEOUT_S = 4, 60.0
KEPT = 0.45  # of the idle speed, at least
SETTLE_S, WATCH_S = 2.0, 3.0


@dataclass
class Engine:
    """A worker and what it did, in tokens per second; `is_bound`: it was slower than recorded."""

    python: str | Path
    script: str
    n_busy: int
    idle: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    is_bound: bool = False

    def facts(self) -> dict[str, Any]:
        """Rates, and the part of the idle speed that is kept."""
        kept = statistics.median(self.busy) / statistics.median(self.idle)
        return {"idle": self.idle, "busy": self.busy, "kept": kept, "is_bound": self.is_bound}

    def measure(self, options: tuple[object, ...], n: int) -> float | None:
        """One round, with a worker of its own, since it may have to be killed.

        Returns:
            the CPU use of the idle worker, in cores.
        """
        worker = Worker(self.python, HERE / self.script, *options)
        idle_cpu = None
        try:
            worker.ask("decode", n, 0)
            self.idle.append(n / worker.ask("decode", n, 0)["seconds"])
            idle_cpu = _cpu_use(worker.pid)
            with busy_processes():
                seconds = worker.ask("decode", self.n_busy, 0, timeout_s=TIMEOUT_S)["seconds"]
            self.busy.append(self.n_busy / seconds)
        except TimeoutError as error:
            print(error, file=sys.stderr)
            self.busy.append(self.n_busy / TIMEOUT_S)
            self.is_bound = True
        finally:
            worker.close()
        return idle_cpu


@contextmanager
def busy_processes() -> Iterator[None]:
    """One for each core."""
    code = "while True: pass"
    made = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(os.cpu_count() or 1)]
    try:
        time.sleep(0.5)  # until they are at work
        yield
    finally:
        for process in made:
            process.kill()
            process.wait()


def _cpu_use(pid: int) -> float | None:
    """Cores that a process takes while nobody asks it for anything; None beside Linux."""
    time.sleep(SETTLE_S)
    before = _cpu_s(pid)
    time.sleep(WATCH_S)
    after = _cpu_s(pid)
    return None if before is None or after is None else (after - before) / WATCH_S


def _cpu_s(pid: int) -> float | None:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def run(name: str, args: argparse.Namespace) -> None:
    """Measure a model, print it and append it."""
    path = model_path(name, args.files)
    options = (path, "-t", args.threads)
    ours = Engine(sys.executable, "ours.py", args.tokens)
    peer = Engine(environments.make("peer"), "peer.py", PEER_TOKENS)
    idle_cpu = []
    for _ in range(args.rounds):
        idle_cpu.append(ours.measure(options, args.tokens))
        peer.measure(options, args.tokens)
    engines = {"halfbyte": ours.facts(), "llama.cpp": peer.facts()}
    for engine, facts in engines.items():
        bound = "under " if facts["is_bound"] else ""
        print(f"{name:14}{engine:10} {statistics.median(facts['idle']):7.1f} tok/s idle, "
              f"{bound}{statistics.median(facts['busy']):.1f} beside busy processes: "
              f"{bound}{facts['kept']:.1%}")  # fmt: skip
    used = [value for value in idle_cpu if value is not None]
    idle_use = statistics.median(used) if used else None
    print(f"{name:14}idle engine: " + ("?" if idle_use is None else f"{idle_use:.1%} of a core"))
    facts = {"name": name, "engines": engines, "idle_cpu": idle_use, "target": KEPT,
             "is_met": engines["halfbyte"]["kept"] >= KEPT}  # fmt: skip
    results.append("contention", path, args.threads, facts)


def main() -> None:
    """Measure the models that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, help=f"default: {' '.join(MODELS)}")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--tokens", type=int, default=48, metavar="N")
    parser.add_argument("-t", "--threads", type=int, default=2, metavar="N")
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    args = parser.parse_args()
    results.warn_if_busy()
    for name in args.models:
        run(name, args)


if __name__ == "__main__":
    main()
