"""Models with experts, hybrids and Gemma 4 beside llama.cpp, as Markdown, from experts.jsonl.

Each model's newest line counts. A decode target is met at a share of the bandwidth too.
"""

from __future__ import annotations

from typing import Any

from report_callers import when
from report_speed import lines

NOTHING = "Nothing measured yet: `benchmarks/experts.py`.\n"
_HEAD = (
    "| model | pp512, over llama.cpp's | tg48, over llama.cpp's | of bandwidth | with states |\n"
    "|---|---|---|---|---|\n"
)
_LEAST_PROMPT, _LEAST_DECODE, _LEAST_SHARE = 2.0, 1.5, 0.85
_NAMES = {
    "qwen3moe-q4_k": "Qwen3 30B-A3B's shape, 8 layers, Q4_K",
    "qwen35moe-q4_0": "Qwen3.5 35B-A3B's shape, 8 layers, Q4_0",
    "lfm2moe-q4_0": "LFM2 8B-A1B's shape, 8 layers, Q4_0",
    "gemma4-q4_0": "Gemma 4 12B's shape, 12 layers, Q4_0",
    "qwen35-q4_0": "Qwen3.5 4B's shape, 16 layers, Q4_0",
    "qwen35-q2_0": "Qwen3.5 4B's shape, 16 layers, Q2_0",
}


def section() -> str:
    """The part of docs/performance.md."""
    newest = {line["name"]: line for line in lines("experts")}
    rows = [_row(newest[name]) for name in sorted(newest, key=_place)]
    return "".join([_HEAD, *rows, when("experts")]) if rows else NOTHING


def _place(name: str) -> tuple[int, str]:
    return list(_NAMES).index(name) if name in _NAMES else len(_NAMES), name


def _row(line: dict[str, Any]) -> str:
    ours, theirs = line["rates"]["ours"], line["rates"]["llama.cpp"]
    prompt, decode = (a / b for a, b in zip(ours, theirs, strict=True))
    share, both = line["shares"]["weights"], line["shares"]["with states"]
    is_fast = decode >= _LEAST_DECODE or both >= _LEAST_SHARE
    cells = [
        _NAMES.get(line["name"], line["name"]),
        _ratio(prompt, ours[0], theirs[0], prompt >= _LEAST_PROMPT),
        _ratio(decode, ours[1], theirs[1], is_fast),
        f"{share:.0%}",
        f"{both:.0%}",
    ]
    return f"| {' | '.join(cells)} |\n"


def _ratio(ratio: float, ours: float, theirs: float, is_met: bool) -> str:
    shown = f"{ratio:.2f} ({ours:.1f} / {theirs:.1f})"
    return shown if is_met else f"**{shown}, missed**"
