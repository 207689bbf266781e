"""Deep in a long context: tokens and a piece of a prompt, by the cache's type, beside llama.cpp.

    python benchmarks/depths.py [MODEL] [--depth 8192] [--rounds 3] [--kept FILE] [--keep]

halfbyte's caches are filled with drawn numbers, on which no speed depends, so that no prompt has to
be read first. llama.cpp, with an f16 cache, reads one and keeps what it made of it in FILE, where
the next run finds it; without FILE it is left out. All take turns. Printed, and with `--keep`
appended to benchmarks/results/depths.jsonl: medians, and ratios to f16 and to llama.cpp.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import environments
import numpy as np
import results
from protocol import Worker
from suite import model_path

import halfbyte
from halfbyte import settings
from halfbyte.cli.speed import decode_s, prefill_s
from halfbyte.engine.sequence import Sequence
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout, key_group_nbytes

TYPES = ("f16", "int8", "int4")
N_TOKENS, N_PIECE = 16, 512


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="1b-q4_0")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--depth", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kept", type=Path, metavar="FILE")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    args = parser.parse_args()
    args.model = model_path(args.model, args.files)
    results.warn_if_busy()
    seconds: dict[str, list[float]] = defaultdict(list)
    with _peer(args) as peer:
        models = {kv_type: _Filled(args, kv_type) for kv_type in TYPES}
        for _ in range(args.rounds):
            for kv_type, model in models.items():
                seconds[f"tg {kv_type}"].append(model.decode_s())
                seconds[f"pp {kv_type}"].append(model.piece_s())
            if peer:
                for name, command, n in (("tg", "decode", N_TOKENS), ("pp", "piece", N_PIECE)):
                    took = peer.ask(command, n, args.depth)["seconds"]
                    seconds[f"{name} llama.cpp"].append(took)
    cells = {name: _cell(name, seconds) for name in seconds}
    for name, cell in cells.items():
        print(f"{name}@d{args.depth}: {cell}")
    if args.keep:
        facts = {"depth": args.depth, "rounds": args.rounds, "cells": cells}
        results.append("depths", args.model, args.threads, facts)


@contextmanager
def _peer(args: argparse.Namespace) -> Iterator[Worker | None]:
    """llama.cpp with a filled cache, where it is wanted."""
    if args.kept is None:
        yield None
        return
    options = (args.model, "-t", args.threads, "--ctx", args.depth + N_PIECE + N_TOKENS)
    script = Path(__file__).with_name("peer.py")
    with Worker(environments.make("peer"), script, *options) as worker:
        worker.ask("keep", args.depth, args.kept)
        yield worker


class _Filled:
    """A model with a cache of one type, and a sequence of so many positions."""

    def __init__(self, args: argparse.Namespace, kv_type: str) -> None:
        model = halfbyte.load(
            args.model, kv_type=kv_type, threads=args.threads, prompt_cache_bytes=0,
            ctx=args.depth + N_PIECE + N_TOKENS + PAGE,
        )  # fmt: skip
        self._engine, self._depth = model.engine, args.depth
        self._sequence = self._engine.new_sequence()
        self._sequence.reserve(args.depth)
        self._sequence.append(args.depth)
        for page in self._sequence.kv.pages:
            page.data[:] = _drawn(page.data.size, self._sequence)
        self.decode_s()

    def decode_s(self) -> float:
        """Seconds for N_TOKENS tokens."""
        return decode_s(self._engine, N_TOKENS, [self._sequence.fork(self._depth)])

    def piece_s(self) -> float:
        """Seconds for N_PIECE tokens at once."""
        return prefill_s(self._engine, [1] * N_PIECE, self._sequence.fork(self._depth))


def _drawn(nbytes: int, sequence: Sequence) -> np.ndarray:
    """Bytes of a page, of ordinary numbers."""
    layout: KVLayout = sequence.kv.layout
    rng = np.random.default_rng(0)
    if layout.kv_type == "f16":
        return rng.standard_normal(nbytes // 2).astype(np.float16).view(np.uint8)
    page = rng.integers(0, 256, nbytes, dtype=np.uint8)
    scales = np.full(PAGE, 0.01, np.float16).view(np.uint8)
    for head in page.reshape(-1, layout.head_nbytes):
        groups = head[: layout.keys_nbytes].reshape(
            -1, key_group_nbytes(layout.kv_type, layout.head_dim)
        )
        groups[:, -32:] = scales[:32]
        head[layout.keys_nbytes : layout.keys_nbytes + 2 * PAGE] = scales
    return page


def _cell(name: str, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Tokens a second, and how many times those of others in the same rounds."""
    what, kv_type = name.split(maxsplit=1)
    n = N_TOKENS if what == "tg" else N_PIECE
    cell: dict[str, Any] = {"tokens_per_s": n / median(seconds[name])}
    for other in ("f16", "llama.cpp"):
        theirs = seconds.get(f"{what} {other}")
        if theirs and other != kv_type:
            pairs = zip(theirs, seconds[name], strict=True)
            cell[f"over {other}"] = median(a / b for a, b in pairs)
    return cell


if __name__ == "__main__":
    main()
