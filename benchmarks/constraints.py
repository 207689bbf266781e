"""What a constraint costs a step: a schema of 50 fields, and none, in turns.

    python benchmarks/constraints.py [--model NAME] [--n 10] [--label WORD]

Measured is what the engine's thread does between two steps for an answer, which is where a
constraint has its work: choosing a token and taking it, and text that is forced; in microseconds of
that thread's processor time, so that what else runs counts little. Of each step, what one without a
constraint takes (in the median) is taken off, for each token that the step gave: forced tokens come
several at a time. The median and the 99th percentile of each answer's steps count, and of these the
medians over the answers after the first, which is left out. A share is of a plain step's wall time.
Greedy, drawn at temperature 1, and drawn as `chat` does. Nothing is guessed.

Prints them, and appends them to benchmarks/results/constraints.jsonl.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import results

import halfbyte
from halfbyte.generation.text_request import TextRequest

PROMPT = "Here is a record as JSON with made up values:\n"
KINDS: tuple[dict[str, Any], ...] = (
    {"type": "string", "maxLength": 40},
    {"type": "integer"},
    {"type": "boolean"},
    {"enum": ["red", "green", "blue"]},
    {"type": "array", "items": {"type": "number"}, "maxItems": 3},
)
FIELDS = {f"field_{i}": KINDS[i % len(KINDS)] for i in range(50)}
SCHEMA = {"type": "object", "properties": FIELDS, "required": list(FIELDS),
          "additionalProperties": False}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "drawn": {"temperature": 1.0},
    "drawn of 40": {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
}


@dataclass
class Clock:
    """Seconds of the thread between steps, a token each, and of whole steps."""

    takes: list[float] = field(default_factory=list)
    n_tokens: list[int] = field(default_factory=list)  # that each gave
    ends: list[float] = field(default_factory=list)

    def watch(self, take: Callable[..., None]) -> Callable[..., None]:
        """The same method, timed."""

        def timed(request: Any, logits: Any) -> None:
            begin, n_before = time.thread_time(), request.n_generated
            take(request, logits)
            self.n_tokens.append(max(request.n_generated - n_before, 1))
            self.takes.append(time.thread_time() - begin)
            self.ends.append(time.perf_counter())

        return timed

    def start(self) -> None:
        """A new answer."""
        self.takes, self.ends, self.n_tokens = [], [], []

    @property
    def step_s(self) -> float:
        """A step from one token to the next, in the median."""
        return float(np.median(np.diff(self.ends)))


def measure(model: halfbyte.Model, clock: Clock, how: dict[str, Any], n: int) -> dict[str, Any]:
    """Pairs of answers; the first pair is not counted."""
    names = ("plain_us", "plain_p99_us", "median_us", "p99_us", "median", "p99", "step_ms",
             "steps_a_token")  # fmt: skip
    facts: dict[str, list[float]] = {name: [] for name in names}
    for i in range(n + 1):
        seed = {"seed": i} if how else {}
        more = {"speculate": False, "heal": False, "max_tokens": 600, **how, **seed}
        clock.start()
        model.complete(PROMPT, **{**more, "max_tokens": 200})
        plain, step_s = np.array(clock.takes[1:]), clock.step_s
        clock.start()
        done = model.complete(PROMPT, json_schema=SCHEMA, **more)
        base = float(np.median(plain))
        costs = np.array(clock.takes[1:]) - base * np.array(clock.n_tokens[1:])
        if i:
            for name, percent in (("median", 50), ("p99", 99)):
                seconds = float(np.percentile(costs, percent))
                facts[name].append(seconds / step_s)
                facts[f"{name}_us"].append(seconds * 1e6)
            facts["plain_us"].append(base * 1e6)
            facts["plain_p99_us"].append(float(np.percentile(plain, 99)) * 1e6)
            facts["step_ms"].append(step_s * 1e3)
            facts["steps_a_token"].append((len(costs) + 1) / len(done.tokens))
    return {name: statistics.median(values) for name, values in facts.items()}


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--label", default="")
    args = parser.parse_args()
    results.warn_if_busy()
    clock = Clock()
    TextRequest.take = clock.watch(TextRequest.take)  # type: ignore[method-assign]
    facts: dict[str, Any] = {"label": args.label, "n": args.n}
    with halfbyte.load(args.model) as model:
        for way, how in WAYS.items():
            facts[way] = made = measure(model, clock, how, args.n)
            print(
                f"{way}: {made['median_us']:.0f} us in the median, {made['p99_us']:.0f} at p99 "
                f"(plain: {made['plain_us']:.0f} and {made['plain_p99_us']:.0f}), "
                f"{made['median']:.1%} and {made['p99']:.1%} of a step of "
                f"{made['step_ms']:.2f} ms; {made['steps_a_token']:.2f} steps a token"
            )
        results.append("constraints", Path(model.path), model.n_threads, facts)


if __name__ == "__main__":
    main()
