"""What was measured of speed, as Markdown, from the newest lines of benchmarks/results.

Of suite.jsonl each machine's newest line of a group counts. What misses its target says so. README
has a selection, docs/performance.md everything.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PLOT = "benchmarks/results/growth.png"
SHAPES = {"7b": "7B shape", "1b": "1.1B shape", "smollm2": "SmolLM2-135M"}
_SPOKEN = {"avx512vnni": "AVX-512"}
HEADS = (
    "model", "test", "halfbyte tok/s", "llama.cpp tok/s", "ratio (rounds)", "target",
    "of bandwidth", "of int8 peak",
)  # fmt: skip
# For README: each size of model with its usual type and AVX-512, then with more and with less. An
# older machine adds what a newer one has not measured.
SELECTED, SELECTED_MORE = ("7b", "1b-q4_0", "smollm2"), ("7b", "1b-avx2")
SELECTED_HEADS = (
    "model", "prompt, tok/s", "llama.cpp", "ratio", "generation, tok/s", "llama.cpp", "ratio",
)  # fmt: skip

_NOTHING = "Nothing measured yet: `make bench`.\n"

Line = dict[str, Any]


def selection() -> str:
    """README's part: a prompt and a generation of a few groups."""
    chosen: dict[tuple[str, str], Line] = {}
    for found in _machines():
        usual = (f"{name}-avx512" if f"{name}-avx512" in found else name for name in SELECTED)
        for name in (*usual, *SELECTED_MORE):
            if name in found:
                chosen.setdefault((found[name]["name"], isa_of(found[name])), found[name])
    groups = list(chosen.values())
    if not groups:
        return _NOTHING
    return "\n".join([
        *_table(SELECTED_HEADS, map(_selected_row, groups)),
        "",
        f"2 cores each, shared, medians of turns in one run: {'; '.join(_places(groups))}.",
        f"llama-cpp-python {groups[0]['peer']['version']}, built there.",
    ]) + "\n"  # fmt: skip


def section() -> str:
    """The part of docs/performance.md: every cell, and quality as run."""
    import suite  # the plot's environment, which reads lines here, has no halfbyte

    parts = []
    for found in _machines():
        groups = [found[name] for name in suite.groups() if name in found]
        if not groups:
            continue
        rows = (_row(_group_name(line), cell) for line in groups for cell in line["cells"])
        parts += [*_table(HEADS, rows), "", *_notes(groups), ""]
    if not parts:
        return _NOTHING
    return "\n".join([*parts[:-1], *_growth(), *_quality(), *_encoding()]) + "\n"


def _machines() -> list[dict[str, Line]]:
    """Each machine's newest line of a group by the group's name; the newest machine first."""
    machines: dict[str, dict[str, Line]] = {}
    for line in lines("suite"):
        cpu = line["machine"]["cpu"]
        machines[cpu] = machines.pop(cpu, {}) | {line["group"]: line}
    return list(reversed(machines.values()))


def _places(groups: list[Line]) -> list[str]:
    """Each machine, with its groups' dates."""
    by_cpu: dict[str, list[Line]] = {}
    for line in groups:
        by_cpu.setdefault(line["machine"]["cpu"], []).append(line)
    return [
        f"{cpu} ({', '.join(sorted({_SPOKEN.get(isa_of(g), isa_of(g).upper()) for g in found}))}, "
        f"{_dates(found)})"
        for cpu, found in by_cpu.items()
    ]


def newest(name: str, key: str) -> list[Line]:
    """The newest line of each value of `key`, in the order in which these first came."""
    found: dict[str, Line] = {}
    for line in lines(name):
        found[line[key]] = line
    return list(found.values())


def lines(name: str) -> list[Line]:
    """All lines of a file of results."""
    path = HERE / "results" / f"{name}.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def isa_of(line: Line) -> str:
    """The instruction set that halfbyte took."""
    return str(line["halfbyte"]["isa"]).split()[0]


def model_name(name: str) -> str:
    """A model as readers know it: "1.1B shape, Q4_0" for 1b-q4_0."""
    shape, _, kind = name.partition("-")
    kind = "Q4_1" if shape == "smollm2" else kind.upper()
    return f"{SHAPES[shape]}, {kind}" if shape in SHAPES else name


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    heads = list(heads)
    return [_joined(heads), "|---" * len(heads) + "|", *map(_joined, rows)]


def _joined(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _selected_row(line: Line) -> list[str]:
    cells = [_group_name(line)]
    for test in ("pp", "tg"):
        cell = next(cell for cell in line["cells"] if cell["test"].startswith(test))
        cells += [*_rates(cell), f"{cell['ratio']:.2f}"]
    return cells


def _group_name(line: Line) -> str:
    isa = isa_of(line)
    name = f"{model_name(line['name'])}, both {_SPOKEN.get(isa, isa.upper())}"
    return name + (", 1 thread" if line["threads"] == 1 else "")


def _row(name: str, cell: Line) -> list[str]:
    ratio = f"{cell['ratio']:.2f}"
    if cell["is_met"] is False:
        ratio = f"**{ratio}, missed**"
    return [
        name, cell["test"], *_rates(cell),
        f"{ratio} ({cell['ratio_min']:.2f}-{cell['ratio_max']:.2f})",
        "" if cell["target"] is None else f"{cell['target']:.2f}",
        _percent(cell.get("bandwidth_share")), _percent(cell.get("peak_share")),
    ]  # fmt: skip


def _rates(cell: Line) -> list[str]:
    """Tokens a second, ours and the peer's."""
    rates = [statistics.median(cell[side]) for side in ("ours", "peer")]
    return [f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}" for rate in rates]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _notes(groups: list[Line]) -> list[str]:
    line = groups[-1]
    limits = [group["limits"] for group in groups]
    reads = sorted(limit["bytes_per_s"] / 1e9 for limit in limits)
    isas = " and ".join(sorted({isa_of(group) for group in groups}))
    return [
        f"{line['machine']['cores']} cores of a shared {line['machine']['cpu']} ({isas}), medians",
        f"of {min(group['rounds'] for group in groups)} or more turns in one run; llama.cpp",
        f"through llama-cpp-python {line['peer']['version']}, built there from source, natively or",
        f"for the instruction set named; {_dates(groups)}, commit {_commits(groups)}.",
        f"Limits measured between the turns: {reads[0]:.0f} to {reads[-1]:.0f} GB/s read, and the",
        "int8 products that the instruction set can add up from registers. Targets are ratios for",
        "AVX-512 VNNI, without AMX, as they stood when a line was measured; decoding has reached",
        "its target at 90% of the bandwidth too (7B: 93%; before 2026-11-29: 92%).",
    ]


def _dates(found: list[Line]) -> str:
    return ", ".join(sorted({line["date"][:10] for line in found}))


def _commits(found: list[Line]) -> str:
    return ", ".join(sorted({str(line["commit"]) for line in found}))


def _growth() -> list[str]:
    found = lines("growth")[-1:]
    if not found or not (HERE.parent / PLOT).is_file():
        return []
    return [
        "",
        f"![growth with prompt, depth, batch and threads](../{PLOT})",
        "",
        f"These curves: {found[0]['machine']['cpu']}, {_dates(found)}, commit {_commits(found)}.",
    ]


def _quality() -> list[str]:
    found = lines("quality")
    if not found:
        return []
    kl, kl_peer = (found[-1]["engines"][k]["mean_kl"] for k in ("halfbyte", "llama.cpp"))
    return [
        "",
        "Both use 8-bit activations. Against float64 arithmetic on the same SmolLM2 weights,",
        f"next-token distributions over {found[-1]['n']} tokens of Python source are off by a mean",
        f"KL of {kl:.4f} nats (llama.cpp: {kl_peer:.4f}); {found[-1]['machine']['cpu']},",
        f"{_dates(found[-1:])}.",
    ]


def _encoding() -> list[str]:
    """How fast texts become tokens, beside the libraries that this is built on."""
    found = lines("tokenizer")
    if not found:
        return []
    line = found[-1]
    parts = [
        f"{line[name]['ratio']:.2f} of the speed of {name} {version}"
        for name, version in line["libraries"].items()
    ]
    return [
        "",
        "Source files become tokens at",
        f"{' and '.join(parts)} themselves; {_dates([line])}, commit {_commits([line])}.",
    ]
