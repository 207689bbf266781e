"""Thousands of mutated GGUF files, in processes that are watched: `make test-mutants`.

    python -m tests.mutants.run [--count 10000] [--only N] [--jobs 2] [--folder build/mutants]

Mutant N is the same everywhere. What came of each is a line of FOLDER/outcomes.jsonl; a run goes
on where the last one ended. Exit status 1 where an outcome is a fault: an exception that is no
HalfbyteError, a wrong result, a crash, more than a minute, or more memory than is bounded.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from tests.mutants import seeds, watch

SEED = "mutants"


def mutant(number: int, files: dict[str, Path]) -> tuple[str, str, bytes, bool]:
    """The original's name, what was done to it, the bytes, and whether they mean the same."""
    from tests.mutants.mutations import mutate

    random = Random(f"{SEED} {number}")
    name = "infill-10m" if random.random() < 0.04 else random.choice(list(seeds.TINY))
    return name, *mutate(files[name].read_bytes(), random)


def prepare(files: dict[str, Path], folder: Path) -> Callable[[int], watch.Line]:
    """What tries a mutant by its number, in a process of its own."""
    from tests.mutants.trial import attempt, logits_of

    os.nice(10)
    logging.disable()
    expected = {name: logits_of(path) for name, path in files.items()}
    path = folder / f"mutant-{os.getpid()}.gguf"

    def work(number: int) -> watch.Line:
        name, done, data, is_same = mutant(number, files)
        path.write_bytes(data)
        outcome = attempt(path, expected[name] if is_same else None, as_hf=number % 4 == 0)
        line = {"file": name, "mutation": done, "kind": outcome.kind}
        return line | {"error": outcome.error, "fault": outcome.fault}

    return work


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
    outcomes, begin = args.folder / "outcomes.jsonl", partial(prepare, files, args.folder)
    if args.only is None:
        watch.run_missing(args.count, args.jobs, begin, outcomes)
        return bool(watch.report(outcomes))
    (args.folder / f"{args.only}.gguf").write_bytes(mutant(args.only, files)[2])
    only = args.folder / "only.jsonl"
    only.unlink(missing_ok=True)
    watch.run([args.only], 1, begin, only)
    return bool(watch.report(only))


if __name__ == "__main__":
    sys.exit(main())
