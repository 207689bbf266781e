"""Writes the README's speed section from the newest lines of benchmarks/results.

    python benchmarks/report.py            replaces what stands between the markers
    python benchmarks/report.py --check    exit 1 if that would change the README

For each model file and test, the newest line of compare.jsonl counts; the section names machine,
versions, commits and dates. Nothing in it is written by hand.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN = "<!-- speed: begin (benchmarks/report.py writes this part) -->\n"
END = "<!-- speed: end -->\n"
NAMES = {"smollm2-135m": "SmolLM2-135M, Q4_1", "1b-q4_0": "1.1B shape, Q4_0",
         "7b-q4_0": "7B shape, Q4_0", "1b-q8_0": "1.1B shape, Q8_0"}  # fmt: skip


def main() -> None:
    """Rewrite or check the README."""
    text = README.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    wanted = head + BEGIN + section() + END + tail
    if "--check" in sys.argv:
        sys.exit(int(wanted != text))
    README.write_text(wanted, "utf-8")


def section() -> str:
    """The Markdown between the markers."""
    newest: dict[str, dict[str, Any]] = {}
    for line in _lines("compare.jsonl"):
        newest[_name(line["model"]["file"])] = line
    rows = [
        "| model | test | halfbyte tok/s | llama.cpp tok/s | ratio | of the read bandwidth |",
        "|---|---|---|---|---|---|",
    ]
    for name, line in sorted(newest.items()):
        for cell in line["cells"]:
            ours, peer = (statistics.median(cell[side]) for side in ("ours", "peer"))
            share = cell.get("bandwidth_share")
            shown = f"{share:.0%}" if share is not None else ""
            figures = f"{cell['test']} | {ours:.0f} | {peer:.0f} | {cell['ratio']:.2f}"
            rows.append(f"| {name} | {figures} | {shown} |")
    return "\n".join([*rows, "", *_notes(list(newest.values()))]) + "\n"


def _notes(lines: list[dict[str, Any]]) -> list[str]:
    line = lines[-1]
    days = sorted({entry["date"][:10] for entry in lines})
    commits = sorted({str(entry["commit"]) for entry in lines})
    rounds = min(entry["rounds"] for entry in lines)
    machine, ours, peer = line["machine"], line["halfbyte"], line["peer"]
    notes = [
        f"{machine['cores']} cores of a shared {machine['cpu']} ({ours['isa']}),",
        f"{line['threads']} threads, medians of {rounds} or more turns; llama.cpp through",
        f"llama-cpp-python {peer['version']}, built there with native flags;",
        f"{', '.join(days)}, commit {', '.join(commits)}.",
    ]
    quality = _lines("quality.jsonl")
    if quality:
        kl, kl_peer = (quality[-1]["engines"][k]["mean_kl"] for k in ("halfbyte", "llama.cpp"))
        notes += [
            "",
            "Both use 8-bit activations. Against float64 arithmetic on the same SmolLM2 weights,",
            f"next-token distributions over {quality[-1]['n']} tokens of Python source are off by",
            f"a mean KL of {kl:.4f} nats (llama.cpp: {kl_peer:.4f}).",
        ]
    return notes


def _lines(name: str) -> list[dict[str, Any]]:
    path = HERE / "results" / name
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _name(file: str) -> str:
    stem = Path(file).stem
    for key, name in NAMES.items():
        if stem.lower().startswith((key, key.split("-")[0] + ".")) or key in stem:
            return name
    return "SmolLM2-135M, Q4_1" if "smollm2" in stem.lower() else stem


if __name__ == "__main__":
    main()
