"""What conversion costs, as Markdown, from the newest lines of conversion.jsonl.

For each model the newest line of each type counts. Ratios are of the weights' mean KL, to the file
of the same type that llama.cpp's quantizer makes. README has a selection, docs/conversion.md
everything; `plot_conversion.py` draws the first model's figures.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PLOT = "benchmarks/results/conversion.png"
MAIN = "infill-10m"
OTHERS = {
    "heavy-tails": "random layers with heavy-tailed weights",
    "smollm2-135m": "SmolLM2 dequantized, whose weights lie on a Q4_1 grid of their own",
}
OURS, CALIBRATED, PEER, IMATRIX = (
    "halfbyte", "halfbyte, calibrated", "llama.cpp", "llama.cpp, imatrix",
)  # fmt: skip

HEADS = (
    "type", "bits", "KL, weights", "KL, as run", "top-1", "perplexity", "tok/s", "to llama.cpp",
    "calibrated: KL", "to llama.cpp", "to its imatrix",
)  # fmt: skip

# For README.
SELECTED = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "q3_k_m", "q2_k")
SELECTED_HEADS = ("type", "bits per weight", "KL", "top-1", "perplexity", "KL, calibrated")

_NOTHING = "Nothing measured yet: `make bench-conversion`.\n"

Row = dict[str, Any]
# (type, maker) -> what was measured.
Rows = dict[tuple[str, str], Row]


def newest_rows(source: str) -> tuple[Rows, Row]:
    """A model's newest row of every type and maker, and the line that the newest stands in."""
    rows: Rows = {}
    newest: Row = {}
    for line in _lines("conversion.jsonl"):
        if line["source"] == source:
            rows |= {(row["type"], row["maker"]): row for row in line["rows"]}
            newest = line
    return rows, newest


def _lines(name: str) -> list[Row]:
    path = HERE / "results" / name
    return list(map(json.loads, path.read_text("utf-8").splitlines())) if path.is_file() else []


def selection() -> str:
    """README's part: a handful of types."""
    rows, line = newest_rows(MAIN)
    if not rows:
        return _NOTHING
    return "\n".join([
        f"| {' | '.join(SELECTED_HEADS)} |",
        "|---" * len(SELECTED_HEADS) + "|",
        *(_selected_row(rows, kind) for kind in SELECTED if (kind, OURS) in rows),
        "",
        f"{MAIN} against its float weights (perplexity {_source_perplexity(rows):.3f}) on held-out",
        f"Python; {line['date'][:10]}, commit {line['commit']}.",
        "",
    ])  # fmt: skip


def section() -> str:
    """The part of docs/conversion.md: every type, other models, speed."""
    rows, line = newest_rows(MAIN)
    if not rows:
        return _NOTHING
    return "\n".join([
        f"| {' | '.join(HEADS)} |",
        "|---" * len(HEADS) + "|",
        *(_row(rows, kind) for kind in _types(rows)),
        "",
        *_notes(rows, line),
        "",
        f"![KL against bits per weight](../{PLOT})",
        "",
        *_others(),
        *_speed(),
        "",
    ])  # fmt: skip


def _types(rows: Rows) -> list[str]:
    """The types, the smallest first."""
    bits = {kind: row["bits"] for (kind, maker), row in rows.items() if maker == OURS}
    return sorted(bits, key=lambda kind: (bits[kind], kind))


def _selected_row(rows: Rows, kind: str) -> str:
    ours, near = rows[kind, OURS], rows.get((kind, CALIBRATED))
    w = ours["weights"]
    cells = [
        kind, f"{ours['bits']:.2f}", f"{w['kl_mean']:.5f}", f"{w['top1']:.1%}",
        f"{w['perplexity']:.3f}", f"{near['weights']['kl_mean']:.5f}" if near else "",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _source_perplexity(rows: Rows) -> float:
    return float(next(iter(rows.values()))["weights"]["perplexity_source"])


def _row(rows: Rows, kind: str) -> str:
    ours, near = rows[kind, OURS], rows.get((kind, CALIBRATED))
    w, run = ours["weights"], ours["as_run"]
    cells = [
        kind, f"{ours['bits']:.2f}", f"{w['kl_mean']:.5f}", f"{run['kl_mean']:.5f}",
        f"{w['top1']:.1%}", f"{w['perplexity']:.3f}", f"{ours['decode_tps']:.0f}",
        _ratio(rows, kind, OURS, PEER), f"{near['weights']['kl_mean']:.5f}" if near else "",
        _ratio(rows, kind, CALIBRATED, PEER), _ratio(rows, kind, CALIBRATED, IMATRIX),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _ratio(rows: Rows, kind: str, maker: str, other: str) -> str:
    a, b = rows.get((kind, maker)), rows.get((kind, other))
    return f"{a['weights']['kl_mean'] / b['weights']['kl_mean']:.2f}" if a and b else ""


def _notes(rows: Rows, line: Row) -> list[str]:
    return [
        f"{MAIN} from its float weights (perplexity {_source_perplexity(rows):.3f}),",
        f"{line['windows']} windows of",
        f"{line['window']} tokens of held-out Python. KL to the source in nats, top-1, perplexity",
        "are of the weights alone; *as run* adds 8-bit activations. *To llama.cpp* is the ratio of",
        "the weights' KL to that of its own quantizer's file, with the same mix of types: plain,",
        "or with an importance matrix from the text that halfbyte calibrates on.",
        f"{line['machine']['cores']} cores of a shared {line['machine']['cpu']};",
        f"{line['date'][:10]}, commit {line['commit']}.",
    ]


def _others() -> list[str]:
    """Ratios of the other models, a column each for plain and calibrated."""
    found = {source: newest_rows(source)[0] for source in OTHERS}
    found = {source: rows for source, rows in found.items() if rows}
    if not found:
        return []
    heads = [f"{source} | calibrated" for source in found]
    kinds = [kind for kind in _types(newest_rows(MAIN)[0])
             if any((kind, OURS) in rows for rows in found.values())]  # fmt: skip
    return [
        "The same ratios to llama.cpp on other models:",
        f"{'; '.join(f'{source}, {OTHERS[source]}' for source in found)}.",
        "",
        f"| type | {' | '.join(heads)} |",
        "|---" * (1 + 2 * len(found)) + "|",
        *(f"| {' | '.join([kind, *_ratios(found, kind)])} |" for kind in kinds),
    ]


def _ratios(found: dict[str, Rows], kind: str) -> list[str]:
    return [
        _ratio(rows, kind, maker, PEER) for rows in found.values() for maker in (OURS, CALIBRATED)
    ]


def _speed() -> list[str]:
    """A sentence on how fast a 7B checkpoint is converted."""
    lines = _lines("conversion_speed.jsonl")
    if not lines:
        return []
    newest = lines[-1]
    parts = []
    for row in newest["rows"]:
        rate = row["source_nbytes"] / statistics.median(row["seconds"])
        whole = newest["whole_nbytes"] / rate
        parts.append(f"{row['type']} at {rate / 1e9:.2f} GB/s of F16 ({whole:.0f} s for all of it, "
                     f"{row['of_limit']:.0%} of what disk and memory allow)")  # fmt: skip
    return [
        "",
        f"Without measuring, 7B's layers ({newest['layers']} of 32 tried) are converted to",
        f"{'; '.join(parts)}, on {newest['machine']['cores']} cores, {newest['date'][:10]}.",
    ]
