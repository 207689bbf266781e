"""halfbyte against llama.cpp: the same file, the same threads, in turns, in one run.

    python benchmarks/compare.py MODEL [-p 512] [-n 128] [-d DEPTH] [-t 2] [--rounds 5]

MODEL is a .gguf file, a name of halfbyte's catalogue (smollm2-135m), or a shape and type of
synth_gguf.py (7b-q4_0, 1b-q8_0), whose file is written into the folder --files on first use.
Each engine lives in a process of its own, loads once, and is asked in turns; the other one sleeps
meanwhile. A round that does not count comes first. Printed are medians, their ratio, the lowest
and highest ratio of a round, and the shares of the machine's limits (cells.py). A line is appended
to benchmarks/results/compare.jsonl. Speed depends on what else the machine does: the load average
is recorded, and a busy machine is warned about. suite.py runs all cells of the speed table.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import environments
import results
from cells import Cell, decode, measure, prefill, show
from protocol import Worker
from suite import model_path

from halfbyte import settings

HERE = Path(__file__).resolve().parent
MIN_CTX = 512


def plan(n_prompt: int, n_gen: int, depth: int) -> list[Cell]:
    """The cells to measure; 0 leaves one out."""
    return [
        *([prefill(n_prompt)] if n_prompt else []),
        *([decode(n_gen, depth)] if n_gen else []),
    ]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="file, catalogue name or such as 7b-q4_0")
    parser.add_argument("-p", "--n-prompt", type=int, default=512, metavar="N")
    parser.add_argument("-n", "--n-gen", type=int, default=128, metavar="N")
    parser.add_argument("-d", "--depth", type=int, default=0, metavar="N")
    parser.add_argument("-t", "--threads", type=int, default=2, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    parser.add_argument("--make-env", action="store_true", help="only make .venvs/peer")
    args = parser.parse_args()
    if args.model is None and not args.make_env:
        parser.error("which model?")
    return args


def main() -> None:
    """Run the comparison."""
    args = parse()
    peer_python = environments.make("peer")
    if args.make_env:
        return
    results.warn_if_busy()
    path = model_path(args.model, args.files)
    ctx = max(args.n_prompt, args.depth + args.n_gen, MIN_CTX)
    options = (path, "-t", args.threads, "--ctx", ctx)
    cells = plan(args.n_prompt, args.n_gen, args.depth)
    with (
        Worker(sys.executable, HERE / "ours.py", *options) as ours,
        Worker(peer_python, HERE / "peer.py", *options) as peer,
    ):
        limits = measure(cells, ours, peer, args.rounds)
    records = [cell.record(ours.info, limits) for cell in cells]
    print(f"{path.name}, {args.threads} threads, {ours.info['isa']}, median of {args.rounds}")
    show(records, limits)
    results.append(
        "compare",
        path,
        args.threads,
        {
            "cells": records,
            "limits": asdict(limits),
            "rounds": args.rounds,
            "halfbyte": ours.info,
            "peer": peer.info,
        },
    )


if __name__ == "__main__":
    main()
