"""Deep in a long context, by the cache's type, as Markdown, from depths.jsonl.

Each model's and depth's newest line counts.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from report_callers import when
from report_speed import lines, model_name

NOTHING = "Nothing measured yet: `benchmarks/depths.py`.\n"
_HEAD = (
    "| model, depth | cache | tg, tok/s | over f16 | over llama.cpp | pp512, tok/s | over f16 "
    "| over llama.cpp |\n|---|---|---|---|---|---|---|---|\n"
)
# At least so many times as fast: tokens, and a piece of a prompt (llama.cpp's cache is f16).
OVER_F16 = {"tg": 1.4}
OVER_PEER = {("tg", "f16"): 3.5, ("pp", "f16"): 4.0, ("pp", "int8"): 5.0}


def section() -> str:
    """The part of docs/performance.md."""
    newest = {(line["model"]["file"], line["depth"]): line for line in lines("depths")}
    rows = [row for key in sorted(newest) for row in _rows(newest[key])]
    return "".join([_HEAD, *rows, when("depths")]) if rows else NOTHING


def _rows(line: dict[str, Any]) -> list[str]:
    cells = line["cells"]
    where = f"{model_name(PurePath(line['model']['file']).stem)}, {line['depth']}"
    types = [name.removeprefix("tg ") for name in cells if name.startswith("tg ")]
    return [
        f"| {where} | {kv_type} | "
        + " | ".join(shown for what in ("tg", "pp") for shown in _shown(cells, what, kv_type))
        + " |\n"
        for kv_type in types
    ]


def _shown(cells: dict[str, Any], what: str, kv_type: str) -> list[str]:
    cell = cells[f"{what} {kv_type}"]
    over_f16 = OVER_F16.get(what) if kv_type == "int8" else None
    return [
        f"{cell['tokens_per_s']:.1f}",
        _ratio(cell.get("over f16"), over_f16) if kv_type != "llama.cpp" else "",
        _ratio(cell.get("over llama.cpp"), OVER_PEER.get((what, kv_type))),
    ]


def _ratio(ratio: float | None, target: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.2f}" if target is None or ratio >= target else f"**{ratio:.2f}, missed**"
