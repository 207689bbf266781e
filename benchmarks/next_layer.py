"""What a model's own layer that guesses costs, and from which share of right guesses on it pays.

    python benchmarks/next_layer.py [--model FILE] [--rates 0 0.5 0.7 0.8 0.9] [--n 5]

Without --model, of a shape with random weights (synth_gguf.py: GLM-4.7-Flash, 8 of its 47 layers),
whose guesses would never come true. So they are replaced by what does come, as often as a rate
says; all else is computed as it is. Answers without guesses and with them are made in turns, and
have to be the same. Prints tokens a second of both (medians), what steps of the model and of the
layer take, and how much of the layer is read with a head for the whole vocabulary; with --whole it
has one. Appends the figures to benchmarks/results/next_layer.jsonl.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import results
import synth_gguf

import halfbyte
from halfbyte import loading, settings
from halfbyte.engine.next_weights import with_shared
from halfbyte.generation.speculation.draft_model import Wish
from halfbyte.generation.speculation.next_model import NextModel

N_PROMPT, N_TOKENS = 64, 128


class Oracle:
    """Has guesses come true at a rate: of each request the ids that come are known."""

    def __init__(self, draft: NextModel, comes: list[int], rate: float) -> None:
        self._round, self._comes, self._rate = draft._round, comes, rate
        self._chance = random.Random(1)
        draft._round = self.round  # type: ignore[method-assign]

    def round(self, *args: Any) -> list[Wish]:
        """A round of guesses, some of them replaced."""
        made = self._round(*args)
        for wish in made:
            at = len(wish.request.ids) + len(wish.shadow.guesses) - 1
            if at < len(self._comes):
                is_right = self._chance.random() < self._rate
                wish.shadow.guesses[-1] = self._comes[at] if is_right else 0
                wish.shadow.probabilities[-1] = self._rate
        return made


def choosing(by_merges: bool) -> Callable[..., Any]:
    """What loading calls, with another choice."""

    def chosen(*args: Any, **_: Any) -> Any:
        return with_shared(*args, by_merges=by_merges)

    return chosen


def answer(model: halfbyte.Model, ids: list[int], **how: Any) -> halfbyte.Completion:
    """Without memory of earlier ones: neither keys nor texts to guess from."""
    model.forget_cache()
    model.scheduler._worker.batch.speculation._pools._pools.clear()
    return model.complete(ids, max_tokens=N_TOKENS, **how)


def measured(model: halfbyte.Model, ids: list[int], rate: float, n: int) -> dict[str, float]:
    """Tokens a second, in turns."""
    draft = model.draft
    assert isinstance(draft, NextModel)
    plain: list[float] = []
    guessed: list[float] = []
    counts = [0, 0]
    comes = ids + answer(model, ids, speculate=False).tokens
    oracle = Oracle(draft, comes, rate)
    for _ in range(n):
        for tps, how in ((plain, {"speculate": False}), (guessed, {})):
            done = answer(model, ids, **how)
            if ids + done.tokens != comes:
                raise SystemExit("answers differ with guesses")
            tps.append(done.stats.decode_tps)
        counts = [a + b for a, b in zip(counts, (done.stats.n_drafted, done.stats.n_accepted),
                                        strict=True)]  # fmt: skip
    draft._round = oracle._round  # type: ignore[method-assign]
    return {
        "rate": rate, "plain_tps": statistics.median(plain), "tps": statistics.median(guessed),
        "drafted": counts[0] / n, "accepted": counts[1] / n,
    }  # fmt: skip


def costs(model: halfbyte.Model) -> dict[str, float]:
    """Milliseconds of steps, and bytes of the layer."""
    draft, engine = model.draft, model.engine
    assert draft is not None
    weights = draft.engine.weights
    output = weights.matrices["output.weight"]
    whole = output.format.nbytes(output.of_rows or output.n_rows, output.n_inputs)
    model_costs = model.scheduler._worker.batch.speculation._costs
    return {
        "model_ms": 1e3 * model_costs.seconds(1), "model_2_rows_ms": 1e3 * model_costs.seconds(2),
        "model_4_rows_ms": 1e3 * model_costs.seconds(4), "layer_ms": 1e3 * draft.costs.seconds(1),
        "model_mb": engine.nbytes_per_token / 1e6, "layer_mb": draft.engine.nbytes_per_token / 1e6,
        "whole_head_mb": (draft.engine.nbytes_per_token - output.nbytes + whole) / 1e6,
        "expert_share": engine.expert_share,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.5, 0.7, 0.8, 0.9])
    parser.add_argument("--n", type=int, default=5)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--threads", type=int, default=None)
    args = parser.parse_args()
    # The invented vocabulary is no byte-level one, whose order says what is frequent.
    loading.with_shared = choosing(not args.whole)
    path = args.model or synth_gguf.ensure("glm-next-q4_0", args.files)
    with halfbyte.load(path, threads=args.threads, ctx=1024) as model:
        ids = [random.Random(0).randrange(300, 30000) for _ in range(N_PROMPT)]
        cells = []
        for rate in args.rates:
            found = measured(model, ids, rate, args.n)
            print(
                f"rate {rate:.2f}: {found['plain_tps']:.2f} tok/s without, {found['tps']:.2f} with "
                f"({found['tps'] / found['plain_tps']:.2f} x); of {found['drafted']:.0f} guesses "
                f"{found['accepted']:.0f} were right"
            )
            cells.append(found)
        taken = costs(model)
        for name, value in taken.items():
            print(f"{name}: {value:.2f}")
        results.append(
            "next_layer", path, model.n_threads, {"whole": args.whole, "cells": cells, **taken}
        )


if __name__ == "__main__":
    main()
