"""What was measured of callers, caches, typing and edits, as Markdown, from benchmarks/results.

Each file's newest line of a model counts: callers.jsonl, typing.jsonl, edits.jsonl, agent.jsonl and
speculation.jsonl. A row has what is measured, how, its target, and says where it is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from report_speed import lines

HEADS = "| | measured | target |\n|---|---|---|\n"
NOTHING = "Nothing measured yet: `make bench-callers`.\n"
_NAMES = {"smollm2": "SmolLM2's shape", "7b": "7B shape", "smollm2-135m": "SmolLM2-135M",
          "qwen35-cut-q4_0": "Qwen3.5 4B's shape, 4 layers"}  # fmt: skip
_SIDES = {
    "auto": "halfbyte", "psm": "halfbyte, prefix-first", "server": "llama-server",
    "server-spm": "llama-server, suffix-first",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside what it should be: at most `most`, or at least `least`."""

    what: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    digits: int = 2

    @property
    def is_met(self) -> bool:
        """Whether the target is reached; true where there is none."""
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    def __str__(self) -> str:
        shown = f"{self.value:.{self.digits}f}{self.unit}"
        bound = "" if self.most is None else f"at most {self.most:g}{self.unit}"
        bound = bound if self.least is None else f"at least {self.least:g}{self.unit}"
        return f"| {self.what} | {shown if self.is_met else f'**{shown}, missed**'} | {bound} |\n"


def section() -> str:
    """The part of docs/performance.md."""
    rows = [*_callers(), *_agent(), *_guesses()]
    typing = list(_newest("typing").values())
    if not rows and not typing:
        return NOTHING
    return "".join(
        [
            HEADS,
            *map(str, rows),
            *(_typing(line) for line in typing),
            when(*_FILES),
        ]
    )


def _callers() -> Iterator[Row]:
    # A run may have measured some of it only: of each figure the newest counts.
    found: dict[tuple[str, str], dict[str, float]] = {}
    for line in lines("callers"):
        model = "7B shape, " if line["model"]["file"].startswith("7b") else ""
        for key, value in line.items():
            if isinstance(value, dict) and key not in ("machine", "versions", "model"):
                found[model, key] = value
    for (model, key), value in found.items():
        for name, how in _CALLERS.get(key, {}).items():
            if name in value:
                yield Row(
                    model + how["what"], value[name], **{k: how[k] for k in how if k != "what"}
                )


_CALLERS: dict[str, dict[str, Any]] = {
    "threads": {"ratio": {"what": "eight threads, over one batch", "most": 1.15}},
    "lone": {"ratio": {"what": "a lone caller's decoding, over the engine's own", "most": 1.02}},
    "beside": {
        "first_token_steps": {
            "what": "a short request beside a 4,000-token prompt: its first token, in such steps",
            "most": 2.0,
        },
        "long_ratio": {"what": "the long one, over alone", "most": 1.1},
    },
    "hit": {
        "ids_steps": {
            "what": "first token of a known prompt of 4,000 ids, in decode steps", "most": 1.5,
        },
        "text_more_ms": {"what": "the same as text, more than that", "unit": " ms", "most": 1.0},
    },
    "cancel": {
        "free_ms": {"what": "cancelling a prompt: CPU free after", "unit": " ms", "most": 100.0,
                    "digits": 0},
    },
}  # fmt: skip


def _agent() -> Iterator[Row]:
    for name, line in _newest("agent").items():
        model, most = _named(name), line["target"]
        yield Row(f"{model}: a turn's first token, over its new tokens alone", line["ratio"],
                  most=most)  # fmt: skip
        yield Row(
            f"the same after a restart, less {line['restarted_disk_s']:.2f} s of plain reading",
            line["restarted_ratio"], most=most,
        )  # fmt: skip
        yield Row("the worst of such turns", max(line["worst"], line["restarted_worst"]))
        rates, ratios = line["disk"]["mb_s"], line["disk"]["ratio"]
        yield Row(f"`save_cache` ({rates['save']:.0f} MB/s), over copying a file", ratios["save"])
        yield Row(f"`load_cache` ({rates['load']:.0f} MB/s), over reading a file", ratios["load"])


def _guesses() -> Iterator[Row]:
    for name, line in _newest("edits").items():
        what = f"{_named(name)}: 20 edits of windows of 21 lines, times as fast with guesses"
        yield Row(what, line["ratio"], least=line["target"])
    for line in [line for line in lines("speculation") if "code" in line][-1:]:
        yield Row("20 functions written with another name, times as fast with guesses",
                  line["code"]["ratio"], least=1.8)  # fmt: skip
        yield Row("unrelated prose, likewise", line["prose"]["ratio"], least=0.98)


def _typing(line: dict[str, Any]) -> str:
    """A table of one model's keys."""
    kinds, sides = line["kinds"], line["sides"]
    rows = [
        f"| {_SIDES[name]} | {s['first_p50']:.1f} | {s['first_p95']:.0f} | {s['line_p50']:.0f} | "
        f"{s['line_p95']:.0f} | {s['n_new_p50']:.0f} | {_ratio(name, s, line['target'])} |\n"
        for name, s in sides.items()
    ]
    return (
        f"\n{_named(line['name'])}, {len(kinds)} keys with {kinds.count('jump')} jumps of the "
        f"cursor and {kinds.count('accept')} accepted completions, milliseconds:\n\n"
        "| | first text, p50 | p95 | whole line, p50 | p95 | new tokens, p50 | first text, p50, "
        "over llama-server's |\n|---|---|---|---|---|---|---|\n" + "".join(rows)
    )


def _ratio(name: str, side: dict[str, Any], target: float | None) -> str:
    if name == "server" or "first_p50_ratio" not in side:
        return ""
    row = Row("", side["first_p50_ratio"], most=target if name == "auto" else None)
    shown = f"{row.value:.3f}"
    bound = "" if row.most is None else f" (at most {row.most:g})"
    return (shown if row.is_met else f"**{shown}, missed**") + bound


def _named(name: str) -> str:
    return _NAMES.get(name, name)


def _newest(file: str) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in lines(file)}


_FILES = ("callers", "agent", "edits", "typing", "speculation")


def when(*files: str) -> str:
    """Where and when the newest lines of these files were made."""
    newest = [line for file in files for line in lines(file)[-1:]]
    machine = newest[0]["machine"]
    dates = sorted({line["date"][:10] for line in newest})
    commits = sorted({str(line["commit"]) for line in newest})
    load = max(line["machine"]["load_1min_at_start"] or 0 for line in newest)
    busy = f" Something else ran meanwhile (load average {load:.0f})." if load > 1 else ""
    return (
        f"\n{machine['cores']} cores of a shared {machine['cpu']}, {', '.join(dates)}, commit "
        f"{', '.join(commits)}.{busy}\n"
    )
