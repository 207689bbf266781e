"""How cost grows: prefill with the prompt, decode with depth, batches with their size, threads.

    python benchmarks/growth.py [MODEL] [--to 16384]

Prompt and depth are one walk: the cache is filled up to each length, and some tokens are decoded
there. A line is appended to benchmarks/results/growth.jsonl; plot_growth.py draws the newest.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import results
from protocol import Worker
from suite import model_path

from halfbyte import settings

HERE = Path(__file__).resolve().parent
MODEL = "1b-q4_0"
LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 12288, 16384)
BATCHES = (1, 2, 3, 4, 6, 8, 12, 16)
N_DECODE, N_PREFILL, ROUNDS = 16, 256, 3


def with_length(path: Path, threads: int, end: int) -> dict[str, list[float]]:
    """Seconds to reach each length, and tokens per second decoded there."""
    lengths = [n for n in LENGTHS if n + N_DECODE <= end]
    with Worker(sys.executable, HERE / "ours.py", path, "-t", threads, "--ctx", end) as ours:
        ours.ask("decode", N_DECODE, LENGTHS[0])
        found = ours.ask("grow", N_DECODE, *lengths)
    rates = [N_DECODE / seconds for seconds in found["decode_s"]]
    return {
        "length": [*map(float, lengths)],
        "prefill_s": found["prefill_s"],
        "decode_tok_s": rates,
    }


def with_batch(path: Path, threads: int) -> dict[str, list[float]]:
    """Tokens per second of so many sequences together."""
    with Worker(sys.executable, HERE / "ours.py", path, "-t", threads) as ours:
        best = [
            min(ours.ask("batch", n, N_DECODE)["seconds"] for _ in range(ROUNDS)) for n in BATCHES
        ]
    rates = [n * N_DECODE / seconds for n, seconds in zip(BATCHES, best, strict=True)]
    return {"batch": [*map(float, BATCHES)], "tok_s": rates}


def with_threads(path: Path) -> dict[str, list[float]]:
    """Tokens per second of prefill and decode with 1 thread up to one for each core."""
    counts = [*range(1, 1 + (os.cpu_count() or 1))]
    prefill, decode = [], []
    for threads in counts:
        with Worker(sys.executable, HERE / "ours.py", path, "-t", threads) as ours:
            for rates, n, words in (
                (prefill, N_PREFILL, ("prefill", N_PREFILL)),
                (decode, N_DECODE, ("decode", N_DECODE, 0)),
            ):
                rates.append(n / min(ours.ask(*words)["seconds"] for _ in range(ROUNDS)))
    return {"threads": [*map(float, counts)], "prefill_tok_s": prefill, "decode_tok_s": decode}


def show(curve: dict[str, list[float]]) -> None:
    """Print a curve as a table."""
    print("".join(f"{name:>15}" for name in curve))
    for row in zip(*curve.values(), strict=True):
        print("".join(f"{value:15.2f}" for value in row))


def main() -> None:
    """Measure, print and append."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=MODEL, help=f"default: {MODEL}")
    parser.add_argument("--to", type=int, default=LENGTHS[-1], metavar="N", help="longest prompt")
    parser.add_argument("-t", "--threads", type=int, default=2, metavar="N")
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    args = parser.parse_args()
    results.warn_if_busy()
    path = model_path(args.model, args.files)
    curves = {
        "length": with_length(path, args.threads, args.to + N_DECODE),
        "batch": with_batch(path, args.threads),
        "threads": with_threads(path),
    }
    for curve in curves.values():
        show(curve)
    results.append("growth", path, args.threads, {"name": args.model, "curves": curves})


if __name__ == "__main__":
    main()
