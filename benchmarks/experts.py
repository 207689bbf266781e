"""Decoding and prompts of a model with experts, or of a hybrid, beside llama.cpp's, in turns.

    python benchmarks/experts.py FILE.gguf LLAMA_BENCH [--rounds N]

Prints tokens per second of each turn (the median of its repetitions), and the medians of all turns;
appends these to benchmarks/results/experts.jsonl, with the share of the read bandwidth that
decoding needs: of the weights of a token, and with its states, each read once and written once.
Files: synth_gguf.py, `qwen3moe q4_k`, `glm-flash q4_k`, `gptoss mxfp4`, `lfm2moe q4_0`, `qwen35moe
q4_0`; `1b mxfp4`, `lfm2 q4_0`, `qwen35 q2_0` and `gemma4 q4_0` are dense, and measured alike.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import results

import halfbyte
from halfbyte.engine.engine import MAX_BATCH, Span
from halfbyte.kernels.limits.bandwidth import read_bandwidth

N_PROMPT, N_DECODED, N_REPEATS = 512, 48, 3


def ours(path: Path, threads: int) -> tuple[float, float, float, float]:
    """Tokens per second of a prompt and of decoding, and the latter's shares of the bandwidth."""
    with halfbyte.load(path, threads=threads, ctx=2048) as model:
        engine = model.engine
        rng = np.random.default_rng(0)
        ids = rng.integers(300, model.config.vocab_size, N_PROMPT).tolist()
        prompts, decoded = [], []
        for _ in range(N_REPEATS):
            sequence, begin = engine.new_sequence(), time.perf_counter()
            for at in range(0, N_PROMPT, MAX_BATCH):
                engine.forward([Span(sequence, ids[at : at + MAX_BATCH], 1)])
            prompts.append(N_PROMPT / (time.perf_counter() - begin))
            sequence, begin = engine.new_sequence(), time.perf_counter()
            for token in ids[:N_DECODED]:
                engine.forward([Span(sequence, [token], 1)])
            decoded.append(N_DECODED / (time.perf_counter() - begin))
        states = engine.pages.states
        nbytes = model.nbytes_per_token, 2 * states.layout.nbytes if states else 0
        rate = median(decoded) / read_bandwidth(engine.pool)
    return median(prompts), median(decoded), rate * nbytes[0], rate * sum(nbytes)


def theirs(bench: Path, path: Path, threads: int) -> tuple[float, float]:
    """The same of llama-bench."""
    command = [bench, "-m", path, "-t", threads, "-p", N_PROMPT, "-n", N_DECODED, "-r", N_REPEATS,
               "-o", "json"]  # fmt: skip
    done = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
    by_kind = {one["n_gen"] > 0: median(one["samples_ts"]) for one in json.loads(done.stdout)}
    return by_kind[False], by_kind[True]


def main() -> None:
    """Measure in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("bench", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    turns = []
    for _ in range(args.rounds):
        turns.append((ours(args.file, args.threads), theirs(args.bench, args.file, args.threads)))
        for i, kind in enumerate((f"pp{N_PROMPT}", f"tg{N_DECODED}")):
            a, b = turns[-1][0][i], turns[-1][1][i]
            print(f"{kind}: ours {a:.1f}, llama.cpp {b:.1f} tokens/s: {a / b:.2f} x", flush=True)
    rates = np.median([[mine[:2], other] for mine, other in turns], axis=0)
    for i, kind in enumerate((f"pp{N_PROMPT}", f"tg{N_DECODED}")):
        a, b = rates[:, i]
        print(f"median {kind}: ours {a:.1f}, llama.cpp {b:.1f} tokens/s: {a / b:.2f} x")
    weights, both = np.median([mine[2:] for mine, _ in turns], axis=0)
    print(f"decoding: {weights:.0%} of the bandwidth for weights, {both:.0%} with states")
    facts: dict[str, Any] = {"name": args.file.stem, "rounds": args.rounds, "turns": turns}
    facts["rates"] = {"ours": rates[0].tolist(), "llama.cpp": rates[1].tolist()}
    facts["shares"] = {"weights": weights, "with states": both}
    results.append("experts", args.file, args.threads, facts)


if __name__ == "__main__":
    main()
