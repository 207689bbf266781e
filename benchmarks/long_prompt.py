"""A prompt of 100,000 tokens, for real: the 7B shape within 24 GB, its cache in 4 bits.

    python benchmarks/long_prompt.py [MODEL] [--tokens 100000] [--kv-type int4] [--kept FILE]

The prompt is given as a program would that reads a long text: each call has some more of it, and
what earlier calls had is remembered. It takes hours of two cores, so it can be done in parts:
`--kept` names a file of `save_cache` from which it goes on, and which SIGTERM has written once the
call at hand is done. Each call's seconds, of the wall and of the CPU, are appended to a file of
JSON lines beside it; the last call writes 16 tokens, and then a line is appended to
benchmarks/results/long_prompt.jsonl.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import time
from pathlib import Path
from typing import Any

import results
from suite import model_path

import halfbyte
from halfbyte import settings
from halfbyte.cli.speed import random_tokens
from halfbyte.generation.completion import Completion

N_STEP, N_ANSWER = 2048, 16


def main() -> None:
    """Go on from where it ended, and say how far it came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="7b-q4_0")
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--kv-type", default="int4", choices=("f16", "int8", "int4"))
    parser.add_argument("--kept", type=Path, default=Path("long_prompt.kept"))
    parser.add_argument("-t", "--threads", type=int, default=2, metavar="N")
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    args = parser.parse_args()
    path = model_path(args.model, args.files)
    log = args.kept.with_suffix(".jsonl")
    with halfbyte.load(
        path,
        threads=args.threads,
        ctx=args.tokens + N_ANSWER,
        kv_type=args.kv_type,
        prompt_cache_bytes=1 << 40,
    ) as model:
        n = model.load_cache(args.kept) if args.kept.exists() else 0
        print(f"{n} tokens were kept", flush=True)
        answer = LongPrompt(model, args.tokens, log).go_on(n)
        if answer is None:
            print(f"{model.save_cache(args.kept) / 1e9:.1f} GB kept", flush=True)
        else:
            _record(path, args.threads, args.kv_type, log, answer)


class LongPrompt:
    """The calls that it takes."""

    def __init__(self, model: halfbyte.Model, n: int, log: Path) -> None:
        self._model, self._log, self._is_told = model, log, False
        self._tokens = random_tokens(model.engine, n)
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_is_told", True))

    def go_on(self, n_known: int) -> Completion | None:
        """The answer to the whole prompt; None if it was told to stop before."""
        for end in range(n_known + N_STEP, len(self._tokens), N_STEP):
            self._call(end, 1)
            if self._is_told:
                return None
        return self._call(len(self._tokens), N_ANSWER)

    def _call(self, end: int, n_answer: int) -> Completion:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        done = self._model.complete(self._tokens[:end], max_tokens=n_answer, stop_tokens=[])
        facts = {
            "n_prompt": end,
            "n_reused": done.stats.n_reused,
            "prefill_s": round(done.stats.prefill_s, 3),
            "wall_s": round(time.perf_counter() - wall_s, 3),
            "cpu_s": round(time.process_time() - cpu_s, 3),
            "peak_nbytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
        with self._log.open("a", encoding="utf-8") as out:
            print(json.dumps(facts), file=out)
        print(facts, flush=True)
        return done


def _record(path: Path, threads: int, kv_type: str, log: Path, answer: Completion) -> None:
    """All calls as one line."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
    calls = {line["n_prompt"]: line for line in lines}.values()  # without those that were lost
    facts = {
        "n_prompt": answer.stats.n_prompt,
        "kv_type": kv_type,
        "calls": [[call[name] for name in ("n_prompt", "wall_s", "cpu_s")] for call in calls],
        "wall_s": round(sum(call["wall_s"] for call in calls)),
        "cpu_s": round(sum(call["cpu_s"] for call in calls)),
        "peak_nbytes": max(call["peak_nbytes"] for call in calls),
        "decode_tps": round(answer.stats.n_decode / answer.stats.decode_s, 3),
        "answer": answer.tokens,
    }
    print(facts)
    results.append("long_prompt", path, threads, facts)


if __name__ == "__main__":
    main()
