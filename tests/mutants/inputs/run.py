"""Thousands of changed inputs of conversions, in processes that are watched.

    python -m tests.mutants.inputs.run [--kind KIND] [--count 2000] [--only N] [--jobs 2]
        [--folder build/input-mutants]

`make test-input-mutants` tries all kinds. Mutant N of a kind is the same everywhere. What came of
each is a line of FOLDER/KIND.jsonl; a run goes on where the last one ended. A mutant is to be
refused with a HalfbyteError, or the file that it gives has to verify, to load, and to be what the
input says in the words of other readers. Exit status 1 where one is not.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.mutants import watch
from tests.mutants.inputs.mutations import KINDS, mutant
from tests.mutants.inputs.originals import build
from tests.mutants.seeds import ROOT


def prepare(kind: str, folder: Path) -> Callable[[int], watch.Line]:
    """What tries a mutant by its number, in a process of its own."""
    from tests.mutants.inputs.conversion import Bench

    os.nice(10)
    logging.disable()
    bench = Bench(folder / "originals", folder / "benches" / kind / str(os.getpid()))
    bench.compile()

    def work(number: int) -> watch.Line:
        one, outcome = bench.attempt(kind, number)
        line = {"kind": outcome.kind, "error": outcome.error, "fault": outcome.fault}
        return line | {"file": f"{one.original}/{one.file}", "mutation": one.done}

    return work


def main() -> int:
    """Run what is missing, then report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=list(KINDS), action="append")
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--only", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "input-mutants")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    # Mutated shapes get kernels of their own, which are of no use to anybody else.
    os.environ["HALFBYTE_CACHE"] = str(args.folder / "cache")
    if not (args.folder / "originals").exists():
        build(args.folder / "originals")
    n_faults = 0
    for kind in args.kind or KINDS:
        outcomes, begin = args.folder / f"{kind}.jsonl", partial(prepare, kind, args.folder)
        print(f"{kind}:", flush=True)
        if args.only is None:
            watch.run_missing(args.count, args.jobs, begin, outcomes)
        else:
            one = mutant(kind, args.only, args.folder / "originals")
            (args.folder / f"{kind}-{args.only}").write_bytes(one.data)
            outcomes = args.folder / "only.jsonl"
            outcomes.unlink(missing_ok=True)
            watch.run([args.only], 1, begin, outcomes)
        n_faults += watch.report(outcomes)
        shutil.rmtree(args.folder / "benches" / kind, ignore_errors=True)
    return bool(n_faults)


if __name__ == "__main__":
    sys.exit(main())
