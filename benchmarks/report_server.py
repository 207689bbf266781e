"""What was measured of the server, as Markdown, from benchmarks/results/server.jsonl.

Of each model and kind the newest line counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from report_callers import HEADS, Row
from report_speed import lines

NOTHING = "Nothing measured yet: `make bench-server`.\n"


def section() -> str:
    """The part of docs/performance.md."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for line in lines("server"):
        newest[line["model"]["file"].removesuffix(".gguf"), line["what"]] = line
    rows = [
        row for (model, what), line in sorted(newest.items()) for row in _ROWS[what](model, line)
    ]
    if not rows:
        return NOTHING
    return "".join([HEADS, *map(str, rows), _when(list(newest.values()))])


def _load(model: str, line: dict[str, Any]) -> Iterator[Row]:
    ratio, target = line["ratio"], line["target"]
    yield Row(
        f"{model}: eight clients that stream, tokens a second over llama-server's",
        ratio["tokens_a_s"], least=target,
    )  # fmt: skip
    yield Row("the same: 95th percentile of the first token, over its", ratio["first_p95_s"],
              most=1.0)  # fmt: skip
    yield Row("the same: 95th percentile of the gap between tokens, over its",
              ratio["gap_p95_s"], most=1.0)  # fmt: skip
    yield Row("CPU of the server beside the engine, a streamed token", line["overhead_us"],
              " us", most=150.0, digits=0)  # fmt: skip


def _queue(model: str, line: dict[str, Any]) -> Iterator[Row]:
    told = f"{line['answered']} answered, {line['refused']} told 429"
    yield Row(f"{model}: 64 clients, 24 places ({told}): lost", line["lost"], most=0.0, digits=0)


def _stream(model: str, line: dict[str, Any]) -> Iterator[Row]:
    yield Row(f"{model}: one stream's rate read from a socket, over `model.stream`'s",
              line["ratio"], least=line["target"])  # fmt: skip


def _infill(model: str, line: dict[str, Any]) -> Iterator[Row]:
    yield Row(f"{model}: first byte of a remembered `/infill`, after the engine's first token",
              line["more_ms"], " ms", most=20.0, digits=1)  # fmt: skip


def _cancel(model: str, line: dict[str, Any]) -> Iterator[Row]:
    yield Row(f"{model}: a client hangs up during its prompt: CPU free after",
              line["free_ms"], " ms", most=100.0, digits=0)  # fmt: skip


_ROWS = {
    "load": _load, "queue": _queue, "stream": _stream, "infill": _infill, "cancel": _cancel,
}  # fmt: skip


def _when(newest: list[dict[str, Any]]) -> str:
    last = max(newest, key=lambda line: line["date"])
    machine, commits = last["machine"], sorted({str(line["commit"]) for line in newest})
    return (
        f"\n{last['date'][:10]}, {machine['cpu']}, {last['threads']} threads, "
        f"commits {', '.join(commits)}, load average up to "
        f"{max(line['machine']['load_1min_at_start'] or 0 for line in newest):.1f}.\n"
    )
