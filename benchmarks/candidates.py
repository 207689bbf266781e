"""What several answers, adapters and features that nobody asks for cost; ratios of two things done
in turns.

    python benchmarks/candidates.py [MODEL ...] [--rounds 9]

candidates  eight answers to one prompt of 2,000 tokens (`n=8`), over a list of eight equal prompts
            whose beginning is remembered: seconds of decoding, as many tokens each
adapter     decoding with an adapter of rank 16 on all matrices, given in the call, over decoding
            without; and eight answers with eight adapters over eight without
unasked     decoding by a model that holds eight adapters and a compiled schema and has remembered
            prompts, none of which a call asks for, over one that holds nothing
prompt      seconds to the first of the eight answers, over those of one answer

Adapters are random, written as peft does. Nothing is guessed. The median of the rounds counts,
after one that is left out. A model is a name of suite.py's, or a path; smollm2-135m and 1b-q4_0
unless others are named. Prints the ratios, and appends them to benchmarks/results/candidates.jsonl.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import results
from suite import model_path
from tiny_adapter import ATTENTION, NETWORK, TinyAdapter, save

import halfbyte
from halfbyte import settings
from halfbyte.cli.speed import random_tokens

N_PROMPT, N_EACH, N_TOKENS, N_ALONE = 2000, 8, 48, 96
RANK = 16
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
PLAIN: dict[str, Any] = {"speculate": False, "heal": False}
Turn = Callable[[], float]  # seconds


def shapes(config: Any) -> dict[str, Any]:
    """The matrices of a model by transformers' names, without what is in them."""
    q, kv = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    sizes = dict(
        zip(
            (*ATTENTION, *NETWORK),
            (
                (q, config.dim), (kv, config.dim), (kv, config.dim), (config.dim, q),
                (config.hidden_dim, config.dim), (config.hidden_dim, config.dim),
                (config.dim, config.hidden_dim),
            ),
            strict=True,
        )
    )  # fmt: skip
    return {
        f"model.layers.{i}.{name}.weight": np.broadcast_to(np.float32(0), size)
        for i in range(config.n_layers) for name, size in sizes.items()
    }  # fmt: skip


def load_adapters(model: halfbyte.Model, n: int) -> list[str]:
    """Random ones of rank RANK on all matrices; their names."""
    with tempfile.TemporaryDirectory() as folder:
        for i in range(n):
            adapter = TinyAdapter(i, r=RANK, alpha=RANK, dtype="float16")
            model.load_adapter(save(adapter, shapes(model.config), Path(folder) / f"a{i}"))
    return list(model.adapters)


class Bench:
    """One model of each kind, and what is done with them."""

    def __init__(self, model: halfbyte.Model, bare: halfbyte.Model, adapters: list[str]) -> None:
        self.model, self.bare, self._adapters = model, bare, adapters
        self._prompt = random_tokens(model.engine, N_PROMPT)
        self._seed = 0

    def pairs(self) -> dict[str, tuple[Turn, Turn]]:
        """What is compared, by name."""
        first = self._adapters[0]
        return {
            "candidates": (self._several, self._batch),
            "adapter": (lambda: self._alone(self.model, first), lambda: self._alone(self.model)),
            "eight adapters": (lambda: self._mixed(self._adapters), lambda: self._mixed([])),
            "unasked": (lambda: self._alone(self.model), lambda: self._alone(self.bare)),
            "prompt": (lambda: self._first_s(N_EACH), lambda: self._first_s(1)),
        }

    def _several(self) -> float:
        return self._decode_s(self._drawn(lambda **how: self.model.complete(self._prompt, **how),
                                          n=N_EACH))  # fmt: skip

    def _batch(self) -> float:
        prompts = [self._prompt] * N_EACH
        self.model.complete(self._prompt, max_tokens=1, **PLAIN)
        return self._decode_s(self._drawn(lambda **how: self.model.complete(prompts, **how)))

    def _drawn(self, ask: Callable[..., Any], **more: Any) -> list[halfbyte.Completion]:
        """Answers of full length: where an end token is drawn, with another seed."""
        while True:
            self._seed += 1
            how = {"temperature": 1.0, "seed": self._seed, "max_tokens": N_TOKENS}
            done = list(ask(**PLAIN, **how, **more))
            if all(len(one.tokens) == N_TOKENS for one in done):
                return done

    def _decode_s(self, done: list[halfbyte.Completion]) -> float:
        return max(one.stats.decode_s for one in done)

    def _alone(self, model: halfbyte.Model, adapter: str | None = None) -> float:
        more = {} if adapter is None else {"adapter": adapter}
        prompt = random_tokens(model.engine, 16)
        stats = model.complete(prompt, max_tokens=N_ALONE, **PLAIN, **more).stats
        return stats.decode_s / max(stats.n_decode, 1)

    def _mixed(self, adapters: list[str]) -> float:
        """Eight answers in one batch, each with another adapter where there are some."""

        async def ask() -> list[halfbyte.Completion]:
            how: dict[str, Any] = {**PLAIN, "max_tokens": N_TOKENS, "stop_tokens": []}
            more = [{"adapter": name} for name in adapters] or [{}] * N_EACH
            prompt = random_tokens(self.model.engine, 16)
            return await asyncio.gather(
                *(self.model.acomplete(prompt, **how, **one) for one in more)
            )

        done = asyncio.run(ask())
        return max(one.stats.decode_s / max(one.stats.n_decode, 1) for one in done)

    def _first_s(self, n: int) -> float:
        self._seed += 1
        prompt = [3 + self._seed % 1000, *self._prompt[1:]]
        more = {"n": n} if n > 1 else {}
        how = {"temperature": 1.0, "seed": 1, "max_tokens": 1}
        done = self.model.complete(prompt, **PLAIN, **how, **more)
        return max(one.stats.prefill_s for one in (done if n > 1 else [done]))


@contextmanager
def bench(path: Path) -> Iterator[Bench]:
    """The model with everything loaded, and one that holds nothing else."""
    with halfbyte.load(path, ctx=4096) as model, halfbyte.load(path, ctx=4096) as bare:
        adapters = load_adapters(model, N_EACH)
        model.complete("x = ", json_schema=SCHEMA, max_tokens=9, **PLAIN)
        yield Bench(model, bare, adapters)


def measure(path: Path, rounds: int) -> dict[str, Any]:
    """The medians of the ratios of all pairs, and the ratios."""
    facts: dict[str, Any] = {}
    with bench(path) as made:
        for name, (ours, other) in made.pairs().items():
            taken = [(ours(), other()) for _ in range(rounds + 1)][1:]
            ratios = [a / b for a, b in taken]
            facts[name] = {
                "ratio": statistics.median(ratios), "ratios": ratios,
                "ms": 1e3 * statistics.median(a for a, _ in taken),
            }  # fmt: skip
            print(f"{path.name}: {name}: {facts[name]['ratio']:.3f}", flush=True)
        results.append("candidates", path, made.model.n_threads, facts)
    return facts


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=["smollm2-135m", "1b-q4_0"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    args = parser.parse_args()
    results.warn_if_busy()
    for name in args.models:
        path = Path(name) if name.endswith(".gguf") else model_path(name, args.files)
        measure(path, args.rounds)


if __name__ == "__main__":
    main()
