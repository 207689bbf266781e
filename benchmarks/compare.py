"""halfbyte against llama.cpp: the same file, the same threads, in turns, in one run.

    python benchmarks/compare.py MODEL [-p 512] [-n 128] [-d DEPTH] [-t 2] [--rounds 5]

MODEL is a .gguf file, a name of halfbyte's catalogue (smollm2-135m), or a shape and type of
synth_gguf.py (7b-q4_0, 1b-q8_0), whose file is written into the folder --files on first use.
Each engine lives in a process of its own, loads once, and is asked in turns; the other one sleeps
meanwhile. A round that does not count comes first. Printed are medians, their ratio, the lowest
and highest ratio of a round, and for decode the share of the read bandwidth, measured between the
rounds. A line is appended to benchmarks/results/compare.jsonl. Speed depends on what else the
machine does: the load average is recorded, and a busy machine is warned about.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import environments
import results
import synth_gguf
from protocol import Worker

from halfbyte import catalogue, settings

HERE = Path(__file__).resolve().parent
MIN_CTX = 512
BUSY = 0.5  # one-minute load average from which a warning is given


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement, named as llama-bench names it, in tokens per second."""

    test: str
    n: int
    words: tuple[object, ...]
    ours: list[float]
    peer: list[float]

    @property
    def ratio(self) -> float:
        """Ours over the peer's, of medians."""
        return statistics.median(self.ours) / statistics.median(self.peer)

    def record(self, nbytes_per_token: int, bandwidth: float) -> dict[str, object]:
        """The cell with what follows from it; bytes per second belong to decode."""
        facts = asdict(self) | {"ratio": self.ratio}
        del facts["words"]
        if self.words[0] == "decode":
            rate = statistics.median(self.ours) * nbytes_per_token
            facts |= {"gb_s": rate / 1e9, "bandwidth_share": rate / bandwidth}
        return facts


def plan(n_prompt: int, n_gen: int, depth: int) -> list[Cell]:
    """The cells to measure; 0 leaves one out."""
    cells = []
    if n_prompt:
        cells.append(Cell(f"pp{n_prompt}", n_prompt, ("prefill", n_prompt), [], []))
    if n_gen:
        name = f"tg{n_gen}" + (f"@d{depth}" if depth else "")
        cells.append(Cell(name, n_gen, ("decode", n_gen, depth), [], []))
    return cells


def measure(cells: list[Cell], ours: Worker, peer: Worker, rounds: int) -> float:
    """Fill the cells; the median read bandwidth in bytes per second."""
    bandwidths = []
    for i in range(rounds + 1):
        for cell in cells:
            # The one that goes first changes, so that a drift of the machine favours neither.
            turns = [(ours, cell.ours), (peer, cell.peer)]
            for worker, rates in turns if i % 2 else reversed(turns):
                seconds = worker.ask(*cell.words)["seconds"]
                if i:
                    rates.append(cell.n / seconds)
        bandwidths.append(ours.ask("bandwidth")["bytes_per_s"])
        print(f"round {i} of {rounds}", file=sys.stderr)
    return statistics.median(bandwidths[1:])


def model_path(name: str, files: Path) -> Path:
    """The file that MODEL names, made or pulled where it has to be."""
    if name in synth_gguf.names():
        return synth_gguf.ensure(name, files)
    return catalogue.resolve(name)


def report(cells: list[Cell], nbytes_per_token: int, bandwidth: float) -> None:
    """Print the table."""
    print(f"{'test':14} {'llama.cpp':>10} {'halfbyte':>10} {'ratio':>7}   rounds       bandwidth")
    for cell in cells:
        each = [a / b for a, b in zip(cell.ours, cell.peer, strict=True)]
        share = cell.record(nbytes_per_token, bandwidth).get("bandwidth_share")
        print(
            f"{cell.test:14} {statistics.median(cell.peer):10.1f} "
            f"{statistics.median(cell.ours):10.1f} {cell.ratio:7.2f}   "
            f"{min(each):.2f}-{max(each):.2f}" + (f"    {share:.0%}" if share else "")
        )
    print(f"read bandwidth: {bandwidth / 1e9:.1f} GB/s")


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
    if results.LOAD is not None and results.LOAD > BUSY:
        print(f"warning: load average {results.LOAD:.1f}; something else runs", file=sys.stderr)
    path = model_path(args.model, args.files)
    ctx = max(args.n_prompt, args.depth + args.n_gen, MIN_CTX)
    options = (path, "-t", args.threads, "--ctx", ctx)
    cells = plan(args.n_prompt, args.n_gen, args.depth)
    with (
        Worker(sys.executable, HERE / "ours.py", *options) as ours,
        Worker(peer_python, HERE / "peer.py", *options) as peer,
    ):
        bandwidth = measure(cells, ours, peer, args.rounds)
    nbytes = ours.info["nbytes_per_token"]
    print(f"{path.name}, {args.threads} threads, {ours.info['isa']}, median of {args.rounds}")
    report(cells, nbytes, bandwidth)
    results.append(
        "compare",
        path,
        args.threads,
        {
            "cells": [cell.record(nbytes, bandwidth) for cell in cells],
            "read_bandwidth_gb_s": bandwidth / 1e9,
            "rounds": args.rounds,
            "halfbyte": ours.info,
            "peer": peer.info,
        },
    )


if __name__ == "__main__":
    main()
