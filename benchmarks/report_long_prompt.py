"""A prompt of 100,000 tokens, as Markdown, from the newest line of long_prompt.jsonl."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from report_callers import when
from report_speed import lines, model_name

NOTHING = "Nothing measured yet: `benchmarks/long_prompt.py`.\n"
_HEAD = (
    "| tokens read | of the prompt, tok/s here | the same by CPU time | since the start |\n"
    "|---|---|---|---|\n"
)
_ROWS = 8


def section() -> str:
    """The part of docs/performance.md."""
    found = lines("long_prompt")
    if not found:
        return NOTHING
    line = found[-1]
    model = model_name(PurePath(line["model"]["file"]).stem)
    each_core_s, peak, weights = line["cpu_s"] / line["threads"], line["peak_nbytes"], line["model"]
    return "".join([
        _HEAD,
        *_rows(line["calls"], line["threads"]),
        f"\n{model}, {line['kv_type']} cache: {line['n_prompt']:,} tokens in ",
        f"{_minutes(line['wall_s'])} ({_minutes(each_core_s)} of each core's time), then ",
        f"{line['decode_tps']:.2f} tok/s.\nAt most {peak / 1e9:.1f} GB were resident, of which ",
        f"{weights['nbytes'] / 1e9:.1f} are weights.\n",
        when("long_prompt"),
    ])  # fmt: skip


def _rows(calls: list[list[float]], threads: int) -> list[str]:
    """Some of the calls, evenly apart, the last among them."""
    step = max(1, len(calls) // _ROWS)
    return [_row(calls, i, threads) for i in reversed(range(len(calls) - 1, -1, -step))]


def _row(calls: list[Any], i: int, threads: int) -> str:
    end, wall_s, cpu_s = calls[i]
    n = end - (calls[i - 1][0] if i else 0)
    so_far = sum(call[1] for call in calls[: i + 1])
    return f"| {end:,} | {n / wall_s:.1f} | {n * threads / cpu_s:.1f} | {_minutes(so_far)} |\n"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min"
