"""Callers that share one model: ratios, each of two things done in turns in one process.

    python benchmarks/callers.py [MODEL ...] [--rounds 7]

threads    eight threads that each call `complete`, over the same eight prompts as one list
lone       decoding through the scheduler, over the engine's own steps
beside     a short request that comes during a long prompt: its first token in steps of that prompt,
           and how much later the long one is
hit        the first token of a prompt that is remembered, in decode steps; given as ids and as text
turns      the first token of each turn of a growing conversation, with a short side request between
           turns, over the time of its new tokens alone
cancel     seconds from cancelling a prompt to a free engine

Lines are appended to benchmarks/results/callers.jsonl.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import results
from suite import model_path

import halfbyte
from halfbyte import settings
from halfbyte.cli.speed import decode_s, prefill_s, random_tokens

N_CALLERS, N_ANSWER = 8, 32
N_LONG, N_SHORT, N_HIT = 4000, 30, 4000
N_TURNS, N_BEGIN, N_TURN, N_SIDE = 10, 3500, 250, 60


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


class Callers:
    """One model and what is asked of it; every prompt is new unless it is to be known."""

    def __init__(self, model: halfbyte.Model) -> None:
        self.model, self._engine = model, model.engine
        self._n_made = 0

    def prompt(self, n: int) -> list[int]:
        """Tokens that nothing has begun with before."""
        self._n_made += 1
        return [3 + self._n_made, *random_tokens(self._engine, n)[1:]]

    def first_token_s(self, prompt: Sequence[int] | str) -> float:
        """Seconds to the first token."""
        how: Any = {"max_tokens": 1, "stop_tokens": [], "heal": False}
        return seconds(lambda: self.model.complete(prompt, **how))

    def threads(self) -> dict[str, float]:
        def ask(prompt: list[int]) -> None:
            self.model.complete(prompt, max_tokens=N_ANSWER)

        def in_threads() -> None:
            prompts = [self.prompt(20) for _ in range(N_CALLERS)]
            callers = [threading.Thread(target=ask, args=(prompt,)) for prompt in prompts]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()

        batch = [self.prompt(20) for _ in range(N_CALLERS)]
        together = seconds(lambda: self.model.complete(batch, max_tokens=N_ANSWER))
        alone = seconds(in_threads)
        return {"ratio": alone / together, "batch_s": together, "threads_s": alone}

    def lone(self) -> dict[str, float]:
        n = 128
        stats = self.model.complete(self.prompt(2), max_tokens=n + 1, speculate=False).stats
        engine_s = self.model.scheduler.between_steps(lambda: decode_s(self._engine, n))
        return {"ratio": stats.decode_s / stats.n_decode / (engine_s / n)}

    def beside(self) -> dict[str, float]:
        long_alone = self.first_token_s(self.prompt(N_LONG))
        step_s = long_alone / (N_LONG / 256)
        took: list[float] = []
        long = self.prompt(N_LONG)
        caller = threading.Thread(target=lambda: took.append(self.first_token_s(long)))
        caller.start()
        time.sleep(long_alone / 3)
        stream = self.model.stream(self.prompt(N_SHORT), max_tokens=16, stop_tokens=[])
        first = seconds(lambda: next(stream))
        stream.result()
        caller.join()
        return {"first_token_steps": first / step_s, "long_ratio": took[0] / long_alone}

    def hit(self) -> dict[str, float]:
        step_s = self.model.scheduler.between_steps(self._deep_step_s)
        prompt = self.prompt(N_HIT)
        text = self.model.tokenizer.decode(prompt)
        self.first_token_s(prompt)
        as_ids = self.first_token_s(prompt)
        self.first_token_s(text)
        as_text = self.first_token_s(text)
        return {"ids_steps": as_ids / step_s, "text_more_ms": 1e3 * (as_text - as_ids)}

    def turns(self) -> dict[str, float]:
        conversation, ratios = self.prompt(N_BEGIN), []
        self.first_token_s(conversation)
        for _ in range(N_TURNS):
            self.first_token_s(self.prompt(N_SIDE))
            n_known = len(conversation)
            conversation = [*conversation, *random_tokens(self._engine, N_TURN)]
            took = self.first_token_s(conversation)
            alone = self.model.scheduler.between_steps(lambda n=n_known: self._new_tokens_s(n))
            ratios.append(took / alone)
        return {"median": statistics.median(ratios), "worst": max(ratios)}

    def cancel(self) -> dict[str, float]:
        stream = self.model.stream(self.prompt(N_LONG), max_tokens=1)
        time.sleep(0.2)
        stream.close()
        free = seconds(lambda: self.model.scheduler.between_steps(lambda: None))
        return {"free_ms": 1e3 * free}

    def _deep_step_s(self) -> float:
        """A decode step behind N_HIT tokens."""
        sequence = self._engine.new_sequence()
        prefill_s(self._engine, random_tokens(self._engine, N_HIT), sequence, n_out=0)
        return decode_s(self._engine, 16, [sequence]) / 16

    def _new_tokens_s(self, n_known: int) -> float:
        """A turn's new tokens, behind those that are known."""
        sequence = self._engine.new_sequence()
        prefill_s(self._engine, random_tokens(self._engine, n_known), sequence, n_out=0)
        return prefill_s(self._engine, random_tokens(self._engine, N_TURN), sequence)


def main() -> None:
    """Measure the models named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["smollm2-135m"])
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", help="some of the names above")
    args = parser.parse_args()
    results.warn_if_busy()
    for name in args.models:
        path = model_path(name, args.files)
        with halfbyte.load(path, threads=2, prompt_cache_bytes=2 << 30) as model:
            callers, facts = Callers(model), {}
            for what in args.only or ("threads", "lone", "beside", "hit", "turns", "cancel"):
                n = 1 if what == "turns" else args.rounds
                measure = getattr(callers, what)
                measure()
                rounds = [measure() for _ in range(n)]
                facts[what] = {
                    key: statistics.median(one[key] for one in rounds) for key in rounds[0]
                }
                print(what, {k: round(v, 3) for k, v in facts[what].items()}, file=sys.stderr)
        results.append("callers", Path(path), 2, facts)


if __name__ == "__main__":
    main()
