"""Decoding and prompts by tensor type, in turns with llama.cpp's llama-bench; minima of some turns.

    .venv/bin/python benchmarks/types_speed.py [--shape 1b] LLAMA_BENCH FOLDER [TYPE ...]

Files of random weights are written into FOLDER where they lack. For each type: tokens a second of
both, ours over theirs, and the bytes a second that decoding reads, beside those of the first type.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import synth_gguf

import halfbyte
from halfbyte.cli.speed import decode_s, prefill_s, random_tokens

N_PROMPT, N_DECODED = 512, 48


def ours(path: Path, threads: int) -> tuple[float, float, int]:
    """Tokens a second of a prompt and of decoding, and the bytes that a decoded token reads."""
    with halfbyte.load(path, threads=threads, ctx=1024) as model:
        engine = model.engine
        tokens, filled = random_tokens(engine, N_PROMPT), engine.new_sequence()
        prefill_s(engine, tokens[:40], engine.new_sequence())
        decode_s(engine, 4, [engine.new_sequence()])
        prompt = N_PROMPT / prefill_s(engine, tokens, filled)
        decode = N_DECODED / decode_s(engine, N_DECODED, [engine.new_sequence()])
        return prompt, decode, model.nbytes_per_token


def theirs(bench: Path, path: Path, threads: int) -> tuple[float, float]:
    """The same by llama-bench."""
    command = [bench, "-m", path, "-t", str(threads), "-p", str(N_PROMPT), "-n", str(N_DECODED),
               "-r", "1", "-fa", "1", "-o", "json"]  # fmt: skip
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    by_kind = {row["n_gen"] > 0: row["avg_ts"] for row in json.loads(out)}
    return by_kind[False], by_kind[True]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("types", nargs="*", default=["q4_0", "iq4_nl", "iq4_xs", "q2_0", "tq2_0"])
    parser.add_argument("--shape", default="1b")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=4)
    args = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}; best of {args.turns} turns")
    share = 0.0
    for kind in args.types:
        path = synth_gguf.ensure(f"{args.shape}-{kind}", args.folder)
        best = np.zeros((2, 2))
        for _ in range(args.turns):
            *mine, nbytes = ours(path, args.threads)
            best = np.maximum(best, [mine, theirs(args.bench, path, args.threads)])
        (prompt, decode), (their_prompt, their_decode) = best
        rate = decode * nbytes / 1e9
        share = share or rate
        print(
            f"{kind:8} pp{N_PROMPT} {prompt:7.1f} / {their_prompt:7.1f} "
            f"= {prompt / their_prompt:.2f}"
            f"   tg {decode:6.1f} / {their_decode:6.1f} = {decode / their_decode:.2f}"
            f"   {rate:5.1f} GB/s, {rate / share:.2f} of the first type's"
        )


if __name__ == "__main__":
    main()
