"""Typing in a long file: seconds from a key to the first text, beside llama-server's /infill.

    python benchmarks/typing_replay.py smollm2            200 keys, some minutes
    python benchmarks/typing_replay.py 7b --keys 20
    LLAMA_SERVER=PATH python benchmarks/typing_replay.py ...   with a llama-server that is there

Every key (keystrokes.py) is put to each side in turn, on the same file of random weights with an
infill vocabulary (synth_infill.py):

    auto, psm    `stream_infill` with the whole text, a window of 1,024 tokens: suffix-first where
                 that pays, and prefix-first, as for models that know no other order
    server       llama-server as llama.vim recommends it and asks it: a batch of 1,024 tokens, which
                 bounds its window, cached prompts, chunks from 256 tokens reused; prefix-first
    server-spm   the same with --spm-infill

All take the most likely tokens, N_ANSWER of them, which is a line; speculation is off, since
random weights repeat themselves. A line is appended to benchmarks/results/typing.jsonl: `first_ms`
and `line_ms` of each key, their medians and 95th percentiles, and the ratio of medians to `server`.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import llama_server
import results
import synth_infill
from keystrokes import Keystroke, keystrokes, source
from llama_server import N_BATCH, Answered, LlamaServer

import halfbyte
from halfbyte import settings
from halfbyte.kernels.compiler import target

N_ANSWER = 12
N_CTX, THREADS = 4096, 2
PEER_ISA = "avx512vnni"  # what llama-server is built for
TARGETS = {"smollm2": 0.35, "7b": 0.5}
SIDES = ("auto", "psm", "server", "server-spm")

Side = Callable[[Keystroke], Answered]


def ours(model: halfbyte.Model, order: Any) -> Side:
    """`stream_infill` as an editor calls it."""

    def answer(key: Keystroke) -> Answered:
        begin = time.perf_counter()
        stream = model.stream_infill(
            key.prefix, key.suffix, window=N_BATCH, order=order, force=True, max_tokens=N_ANSWER,
            speculate=False,
        )  # fmt: skip
        first_s = 0.0
        for _ in stream:
            first_s = first_s or time.perf_counter() - begin
        line_s = time.perf_counter() - begin
        done = stream.result()
        n_prompt, n_new = done.stats.n_prompt, done.stats.n_prompt - done.stats.n_reused
        n_answer = N_ANSWER if done.finish_reason == "length" else len(done.tokens)
        return Answered(first_s, line_s, n_prompt, n_new, n_answer)

    return answer


def replay(keys: Sequence[Keystroke], sides: dict[str, Side]) -> dict[str, list[Answered]]:
    """Every key put to all sides in turn; the one that begins changes."""
    answers: dict[str, list[Answered]] = {name: [] for name in sides}
    for i, key in enumerate(keys):
        names = list(sides)[:: 1 if i % 2 else -1]
        for name in names:
            answered = sides[name](key)
            if not answered.first_s or answered.n_answer != N_ANSWER:
                raise SystemExit(f"{name}: expected {N_ANSWER} tokens of text, got {answered}")
            answers[name].append(answered)
    return answers


def summary(answers: dict[str, list[Answered]]) -> dict[str, Any]:
    """Milliseconds of each side, and what follows from them."""
    sides = {name: _facts(answered) for name, answered in answers.items()}
    peer = sides.get("server")
    for facts in sides.values() if peer else ():
        for key in ("first_p50", "first_p95", "line_p50", "line_p95"):
            facts[f"{key}_ratio"] = facts[key] / peer[key]
    return sides


def _facts(answered: Sequence[Answered]) -> dict[str, Any]:
    first = [round(1e3 * one.first_s, 2) for one in answered]
    line = [round(1e3 * one.line_s, 2) for one in answered]
    return {
        "first_p50": statistics.median(first), "first_p95": _p95(first),
        "line_p50": statistics.median(line), "line_p95": _p95(line),
        "n_prompt_mean": statistics.mean(one.n_prompt for one in answered),
        "n_new_p50": statistics.median(one.n_new for one in answered),
        "n_new_p95": _p95([one.n_new for one in answered]),
        "first_ms": first, "line_ms": line, "n_new": [one.n_new for one in answered],
    }  # fmt: skip


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def _show(sides: dict[str, Any]) -> None:
    print(f"{'':12}{'first text p50':>16}{'p95':>9}{'line p50':>10}{'p95':>9}   ms; new tokens p50"
          ", p95; first text to server's")  # fmt: skip
    for name, facts in sides.items():
        print(
            f"{name:12}{facts['first_p50']:16.1f}{facts['first_p95']:9.1f}{facts['line_p50']:10.1f}"
            f"{facts['line_p95']:9.1f}   {facts['n_new_p50']:.0f}, {facts['n_new_p95']:.0f}; "
            f"{facts.get('first_p50_ratio', float('nan')):.3f}"
        )


def main() -> None:
    """Replay with one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=synth_infill.KINDS)
    parser.add_argument("--keys", type=int, default=200, metavar="N", help="jumps included")
    parser.add_argument("--places", type=int, metavar="N", help="default: one for 25 keys")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    args = parser.parse_args()
    results.warn_if_busy()
    logging.getLogger("halfbyte").setLevel(logging.ERROR)  # each key says what it did not show
    if PEER_ISA in target.supported():
        os.environ.setdefault(settings.ISA_VARIABLE, PEER_ISA)
    path = synth_infill.ensure(args.model, args.files)
    keys = list(keystrokes(source(), args.keys, args.places or max(2, args.keys // 25)))
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        if {"auto", "psm"} & set(args.sides):
            model = stack.enter_context(halfbyte.load(path, threads=THREADS, ctx=N_CTX))
            sides |= {order: ours(model, order) for order in args.sides if order in ("auto", "psm")}
        for name in args.sides:
            if name.startswith("server"):
                more = ("--spm-infill",) if name == "server-spm" else ()
                server = LlamaServer(llama_server.program(), path, THREADS, N_CTX, more)
                infill = stack.enter_context(server).peer
                sides[name] = lambda key, infill=infill: infill.answer(key, N_ANSWER)
        for side in sides.values():  # what the first request of a process costs does not count
            side(Keystroke("jump", "import os\n\nos.", "\n"))
        found = summary(replay(keys, sides))
    _show(found)
    kinds = [key.kind for key in keys]
    facts = {"name": args.model, "target": TARGETS.get(args.model), "kinds": kinds, "sides": found}
    results.append("typing", path, THREADS, facts)


if __name__ == "__main__":
    main()
