"""The README's section on speed, from the newest lines of benchmarks/results.

Of suite.jsonl the newest line of each group counts, of contention.jsonl, start.jsonl and
memory.jsonl the newest of each model or time. What misses its target says so.
"""

from __future__ import annotations

import json
import statistics
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

Line = dict[str, Any]


def section() -> str:
    """The Markdown between the markers."""
    import suite  # the plot's environment, which reads lines here, has no halfbyte

    found = {line["group"]: line for line in newest("suite", "group")}
    groups = [found[name] for name in suite.groups() if name in found]
    if not groups:
        return "Nothing measured yet: `make bench`.\n"
    rows = [row for line in groups for row in _rows(line)]
    return "\n".join([
        f"| {' | '.join(HEADS)} |",
        "|---" * len(HEADS) + "|",
        *rows,
        "",
        *_notes(groups),
        *_others(),
        *_quality(),
    ]) + "\n"  # fmt: skip


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


def model_name(name: str) -> str:
    """A model as readers know it: "1.1B shape, Q4_0" for 1b-q4_0."""
    shape, _, kind = name.partition("-")
    kind = "Q4_1" if shape == "smollm2" else kind.upper()
    return f"{SHAPES[shape]}, {kind}" if shape in SHAPES else name


def _rows(line: Line) -> list[str]:
    return [_row(_group_name(line), cell) for cell in line["cells"]]


def _group_name(line: Line) -> str:
    name = model_name(line["name"])
    isa = _isa(line)
    if line["peer"]["environment"] != "peer" or isa == "amx":
        name += f", both {_SPOKEN.get(isa, isa.upper())}"
    return name + (", 1 thread" if line["threads"] == 1 else "")


def _isa(line: Line) -> str:
    return str(line["halfbyte"]["isa"]).split()[0]


def _row(name: str, cell: Line) -> str:
    ours, peer = (statistics.median(cell[side]) for side in ("ours", "peer"))
    ratio = f"{cell['ratio']:.2f}"
    if cell["is_met"] is False:
        ratio = f"**{ratio}, missed**"
    cells = [
        name, cell["test"], _rate(ours), _rate(peer),
        f"{ratio} ({cell['ratio_min']:.2f}-{cell['ratio_max']:.2f})",
        "" if cell["target"] is None else f"{cell['target']:.2f}",
        _percent(cell.get("bandwidth_share")), _percent(cell.get("peak_share")),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _rate(tok_s: float) -> str:
    return f"{tok_s:.0f}" if tok_s >= 100 else f"{tok_s:.1f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _notes(groups: list[Line]) -> list[str]:
    line = groups[-1]
    limits = [group["limits"] for group in groups]
    reads = sorted(limit["bytes_per_s"] / 1e9 for limit in limits)
    isas = " and ".join(sorted({_isa(group) for group in groups}))
    return [
        f"{line['machine']['cores']} cores of a shared {line['machine']['cpu']} ({isas}), medians",
        f"of {min(group['rounds'] for group in groups)} or more turns in one run; llama.cpp",
        f"through llama-cpp-python {line['peer']['version']}, built there from source, natively or",
        f"for the instruction set named; {_dates(groups)}, commit {_commits(groups)}.",
        f"Limits measured between the turns: {reads[0]:.0f} to {reads[-1]:.0f} GB/s read, and the",
        "int8 products that the instruction set can add up from registers. Targets are ratios for",
        "AVX-512 VNNI, without AMX; a decode target counts as met at 92% of the bandwidth too.",
    ]


def _dates(found: list[Line]) -> str:
    return ", ".join(sorted({line["date"][:10] for line in found}))


def _commits(found: list[Line]) -> str:
    return ", ".join(sorted({str(line["commit"]) for line in found}))


def _others() -> list[str]:
    """Contention, start and memory: what was aimed for beside what was measured."""
    rows = []
    for line in newest("contention", "name"):
        kept = {
            name: f"{'under ' if side['is_bound'] else ''}{side['kept']:.1%}"
            for name, side in line["engines"].items()
        }
        rows.append((
            f"{model_name(line['name'])}: decode speed kept beside a busy process per core",
            kept["halfbyte"], kept["llama.cpp"], "40%", line["is_met"],
        ))  # fmt: skip
        if (idle := line["idle_cpu"]) is None:
            continue
        rows.append((f"{model_name(line['name'])}: CPU use of an idle engine",
                     f"{idle:.1%}", "", "0%", idle < 0.005))  # fmt: skip
    for line in newest("start", "what"):
        ours, peer = (statistics.median(line[k]) if line[k] else None for k in ("ours", "peer"))
        rows.append((line["what"], f"{ours:.2f} s", "" if peer is None else f"{peer:.2f} s",
                     f"{line['target']:.2f} s", line["is_met"]))  # fmt: skip
    for line in newest("memory", "name"):
        more = (line["peak_nbytes"] - line["model"]["nbytes"] - line["kv_nbytes"]) / 1e6
        rows.append((f"{model_name(line['name'])}: peak memory beyond file and KV cache",
                     f"{more:.0f} MB", "", "250 MB", line["is_met"]))  # fmt: skip
    if not rows:
        return []
    table = [
        f"| {what} | {ours if is_met else f'**{ours}, missed**'} | {peer} | {target} |"
        for what, ours, peer, target, is_met in rows
    ]
    found = [line for name in ("contention", "start", "memory") for line in lines(name)[-1:]]
    return [
        "", "| | halfbyte | llama.cpp | target |", "|---|---|---|---|", *table, "",
        f"{_dates(found)}, commit {_commits(found)}.",
        *(["", f"![growth with prompt, depth, batch and threads]({PLOT})"]
          if (HERE.parent / PLOT).is_file() else []),
    ]  # fmt: skip


def _quality() -> list[str]:
    found = lines("quality")
    if not found:
        return []
    kl, kl_peer = (found[-1]["engines"][k]["mean_kl"] for k in ("halfbyte", "llama.cpp"))
    return [
        "",
        "Both use 8-bit activations. Against float64 arithmetic on the same SmolLM2 weights,",
        f"next-token distributions over {found[-1]['n']} tokens of Python source are off by",
        f"a mean KL of {kl:.4f} nats (llama.cpp: {kl_peer:.4f}).",
    ]
