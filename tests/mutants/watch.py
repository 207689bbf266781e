"""Mutants tried in processes that are watched, and a file that says what came of each.

What came of a mutant is a line of that file, an object with at least `number`, `kind`, `fault`,
`growth` and `seconds`; a fault is an exception that is no HalfbyteError, a wrong result, a crash,
more than a minute, or more memory than is bounded.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

MOST_S = 60.0
MOST_GROWTH = 512 << 20  # bytes of resident memory beyond what the process had before a mutant
MOST_ADDRESSES = 16 << 30

Line = dict[str, Any]
# Called in the process once, gives what is called with each number.
Prepare = Callable[[], Callable[[int], Line]]


def _memory(name: str) -> int:
    """VmHWM or VmRSS of this process, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def _work(pipe: Connection, prepare: Prepare) -> None:
    """Try the mutants whose numbers come through the pipe; send back what came of each."""
    attempt = prepare()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe.send(None)
    while True:
        number = pipe.recv()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, begin = _memory("VmRSS"), time.perf_counter()
        line = {"number": number, **attempt(number)}
        line["growth"], line["seconds"] = _memory("VmHWM") - before, time.perf_counter() - begin
        if not line["fault"] and line["growth"] > MOST_GROWTH:
            line["fault"] = f"{line['growth'] >> 20} MiB of memory"
        pipe.send(line)


class Worker:
    """A process that tries mutants, and the one that it is at."""

    def __init__(self, prepare: Prepare) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, prepare), daemon=True)
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


def _collect(worker: Worker, ready: bool) -> Line | None:
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


def run(numbers: list[int], jobs: int, prepare: Prepare, outcomes: Path) -> None:
    """Try the mutants and append what came of them to the file of outcomes."""
    waiting = list(reversed(numbers))
    workers: list[Worker] = []
    n_done, begin = 0, time.monotonic()
    with outcomes.open("a") as out:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                workers.append(Worker(prepare))
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


def run_missing(count: int, jobs: int, prepare: Prepare, outcomes: Path) -> None:
    """Try those of the first `count` mutants that the file of outcomes does not have."""
    done = set()
    if outcomes.exists():
        done = {json.loads(text)["number"] for text in outcomes.read_text().splitlines()}
    run([n for n in range(count) if n not in done], jobs, prepare, outcomes)


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
