"""Thousands of mutated GGUF files, in processes that are watched: `make test-mutants`.

    python -m tests.mutants.run [--count 10000] [--only N] [--jobs 2] [--folder build/mutants]

Mutant N is the same everywhere. What came of each is a line of FOLDER/outcomes.jsonl; a run goes
on where the last one ended. Exit status 1 where an outcome is a fault: an exception that is no
HalfbyteError, a wrong result, a crash, more than a minute, or more memory than is bounded.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import resource
import sys
import time
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from typing import Any

from tests.mutants import seeds

MOST_S = 60.0
MOST_GROWTH = 512 << 20  # bytes of resident memory beyond what the process had before a mutant
MOST_ADDRESSES = 16 << 30
SEED = "mutants"


def mutant(number: int, files: dict[str, Path]) -> tuple[str, str, bytes, bool]:
    """The original's name, what was done to it, the bytes, and whether they mean the same."""
    from tests.mutants.mutations import mutate

    random = Random(f"{SEED} {number}")
    name = "infill-10m" if random.random() < 0.04 else random.choice(list(seeds.TINY))
    return name, *mutate(files[name].read_bytes(), random)


def _memory(name: str) -> int:
    """VmHWM or VmRSS of this process, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def work(pipe: Connection, files: dict[str, Path], folder: Path) -> None:
    """Try the mutants whose numbers come through the pipe; send back what came of each."""
    from tests.mutants.trial import attempt, logits_of

    os.nice(10)
    logging.disable()
    expected = {name: logits_of(path) for name, path in files.items()}
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path = folder / f"mutant-{os.getpid()}.gguf"
    pipe.send(None)
    while True:
        number = pipe.recv()
        name, done, data, is_same = mutant(number, files)
        path.write_bytes(data)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, begin = _memory("VmRSS"), time.perf_counter()
        outcome = attempt(path, expected[name] if is_same else None, as_hf=number % 4 == 0)
        growth, seconds = _memory("VmHWM") - before, time.perf_counter() - begin
        fault = outcome.fault
        if not fault and growth > MOST_GROWTH:
            fault = f"{growth >> 20} MiB of memory for a file of {len(data)} bytes"
        line = {"number": number, "file": name, "mutation": done, "kind": outcome.kind}
        line |= {"error": outcome.error, "fault": fault, "growth": growth, "seconds": seconds}
        pipe.send(line)


class Worker:
    """A process that tries mutants, and the one that it is at."""

    def __init__(self, files: dict[str, Path], folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=work, args=(other, files, folder), daemon=True)
        self.process.start()
        other.close()
        self.pipe.recv()
        self.number, self.since = -1, 0.0

    def begin(self, number: int) -> None:
        """Give it a mutant."""
        self.number, self.since = number, time.monotonic()
        self.pipe.send(number)

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()


def _collect(worker: Worker, ready: bool) -> dict[str, Any] | None:
    """What came of the worker's mutant, if it is known; a dead or late worker is a fault."""
    fault = ""
    if ready:
        try:
            return dict(worker.pipe.recv())
        except EOFError:
            worker.process.join()
            fault = f"the process ended with {worker.process.exitcode}"
    elif time.monotonic() - worker.since > MOST_S:
        fault = f"more than {MOST_S:.0f} s"
    if not fault:
        return None
    worker.stop()
    return {"number": worker.number, "kind": "lost", "fault": fault, "growth": 0, "seconds": MOST_S}


def run(numbers: list[int], jobs: int, files: dict[str, Path], folder: Path) -> None:
    """Try the mutants and append what came of them to outcomes.jsonl."""
    waiting = list(reversed(numbers))
    workers: list[Worker] = []
    n_done, begin = 0, time.monotonic()
    with (folder / "outcomes.jsonl").open("a") as out:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(Worker(files, folder))
                workers[-1].begin(waiting.pop())
            ready = wait([worker.pipe for worker in workers], timeout=1)
            for worker in list(workers):
                line = _collect(worker, worker.pipe in ready)
                if line is None:
                    continue
                print(json.dumps(line), file=out, flush=True)
                if line["fault"]:
                    print(json.dumps(line), flush=True)
                n_done += 1
                if n_done % 500 == 0:
                    print(f"{n_done} mutants in {time.monotonic() - begin:.0f} s", flush=True)
                if line["kind"] == "lost" or not waiting:
                    worker.stop()
                    workers.remove(worker)
                else:
                    worker.begin(waiting.pop())


def report(path: Path) -> int:
    """Print what came of all of them; the number of faults."""
    lines = {}
    for text in path.read_text().splitlines():
        line = json.loads(text)
        lines[line["number"]] = line
    kinds = Counter(line["kind"] for line in lines.values())
    faults = [line for line in lines.values() if line["fault"]]
    print(f"{len(lines)} mutants: {dict(kinds)}, {len(faults)} faults")
    print(f"most memory: {max(line['growth'] for line in lines.values()) >> 20} MiB")
    print(f"longest: {max(line['seconds'] for line in lines.values()):.1f} s")
    for line in faults:
        print(f"  --only {line['number']}: {line.get('mutation')}: {line['fault']}")
    return len(faults)


def main() -> int:
    """Run what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--only", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=seeds.ROOT / "build" / "mutants")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    # Mutated shapes get kernels of their own, which are of no use to anybody else.
    os.environ["HALFBYTE_CACHE"] = str(args.folder / "cache")
    files = {"infill-10m": seeds.PACKAGED}
    for name in seeds.TINY:
        path = args.folder / f"{name}.gguf"
        files[name] = path if path.exists() else seeds.write(name, args.folder)
    outcomes = args.folder / "outcomes.jsonl"
    if args.only is not None:
        data = mutant(args.only, files)[2]
        (args.folder / f"{args.only}.gguf").write_bytes(data)
        outcomes = args.folder / "only" / "outcomes.jsonl"
        outcomes.parent.mkdir(exist_ok=True)
        outcomes.unlink(missing_ok=True)
        run([args.only], 1, files, outcomes.parent)
        return bool(report(outcomes))
    done = set()
    if outcomes.exists():
        done = {json.loads(text)["number"] for text in outcomes.read_text().splitlines()}
    run([n for n in range(args.count) if n not in done], args.jobs, files, args.folder)
    return bool(report(outcomes))


if __name__ == "__main__":
    sys.exit(main())
