"""What several answers, adapters and constraints cost, as Markdown, from benchmarks/results.

Of candidates.jsonl and constraints.jsonl the newest line of a model counts. A row has what is
measured, its target, and says where it is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from report_callers import HEADS, Row, when
from report_speed import lines

NOTHING = "Nothing measured yet: `make bench-answers`.\n"
_MODELS = {"smollm2": "SmolLM2-135M", "1b": "1.1B shape"}
# What a pair is, and what its ratio may be at most, on which model.
_PAIRS: dict[str, tuple[str, dict[str, float]]] = {
    "candidates": ("eight answers to a prompt of 2,000 tokens, over a list of eight such prompts",
                   {"smollm2": 1.1, "1b": 1.1}),
    "prompt": ("their first token, over that of one answer", {}),
    "adapter": ("decoding with an adapter of rank 16, over without", {"1b": 1.1}),
    "eight adapters": ("eight answers with eight adapters, over eight without", {}),
    "unasked": ("decoding beside adapters, grammars and prompts nobody asks for, over without",
                {"smollm2": 1.01, "1b": 1.01}),
}  # fmt: skip
_MOST = {"median": 2.0, "p99": 5.0}


def section() -> str:
    """The part of docs/performance.md."""
    rows = [*_candidates(), *_constraints()]
    return "".join([HEADS, *map(str, rows), when("candidates", "constraints")]) if rows else NOTHING


def _candidates() -> Iterator[Row]:
    for model, line in _newest("candidates").items():
        for name, (what, most) in _PAIRS.items():
            if name in line:
                what = f"{_MODELS.get(model, model)}: {what}"
                yield Row(what, line[name]["ratio"], most=most.get(model))


def _constraints() -> Iterator[Row]:
    for line in _newest("constraints").values():
        for way in ("greedy", "drawn", "drawn of 40"):
            for name, most in _MOST.items():
                where = "in the median" if name == "median" else "at the 99th percentile"
                what = f"a schema of 50 fields, {way}, {where}: of a step"
                yield Row(what, 100 * line[way][name], "%", most=most, digits=1)


def _newest(file: str) -> dict[str, dict[str, Any]]:
    return {line["model"]["file"].partition("-")[0]: line for line in lines(file)}
