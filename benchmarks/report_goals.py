"""What speed, starts and memory are to reach, beside what the newest lines of results say.

    python benchmarks/report_goals.py      prints it

The goals are this file's but for those of starts, contention and memory, which stand in their
lines, and of long contexts (report_depths.py). docs/performance.md says why what is missed is
missed.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from report_depths import OVER_F16, OVER_PEER
from report_speed import Line, isa_of, lines, model_name, newest

NOTHING = "Nothing measured yet: `make bench`.\n"
_HEAD = "| | goal | reached | measured |\n|---|---|---|---|\n"

_SHARE, _RATIO = 0.9, 1.3  # of the bandwidth, or over llama.cpp: either will do
_DECODE = ("1b-q4_0", "1b-q4_k", "1b-q8_0")
_SHARE_7B = 0.93  # with two threads, and with one
_PROMPT = {"1b-q4_0": 2.6, "1b-q8_0": 4.6, "1b-q4_k": 2.7, "1b-q6_k": 1.9}  # over llama.cpp
_DEEP_PROMPT, _AMX_PROMPT = 4.0, 4.0
_KL = {"int8": 1e-3, "int4": 2e-2}  # nats, from an f16 cache
_LONG, _LONG_NBYTES = 100_000, 24e9


@dataclass(frozen=True, slots=True)
class Row:
    """A goal, how far it is reached, and the line that says so."""

    what: str
    goal: str
    reached: str
    is_met: bool
    line: Line

    def __str__(self) -> str:
        reached = self.reached if self.is_met else f"**{self.reached}, missed**"
        where = f"{self.line['date'][:10]}, {_cpu(self.line)}"
        return f"| {self.what} | {self.goal} | {reached} | {where} |\n"


def section() -> str:
    """The part of docs/performance.md."""
    parts = (_decode, _prompts, _depths, _caches, _long_prompt, _starts, _contention, _memory)
    rows = [str(row) for part in parts for row in part()]
    return "".join([_HEAD, *rows]) if rows else NOTHING


def _decode() -> Iterator[Row]:
    for name, threads, least in (
        *((name, 2, _SHARE) for name in _DECODE),
        ("7b-q4_0", 2, _SHARE_7B),
        ("7b-q4_0", 1, _SHARE_7B),
    ):
        for line, cell in _cells(name, "tg", threads=threads):
            share, ratio = cell["bandwidth_share"], cell["ratio"]
            goal, is_met = f"{least:.0%} of the bandwidth", share >= least
            if name in _DECODE:
                goal, is_met = f"{goal}, or {_RATIO} x llama.cpp", is_met or ratio >= _RATIO
            what = f"{model_name(name)}: decoding" + (", 1 thread" if threads == 1 else "")
            yield Row(what, goal, f"{share:.1%}, {ratio:.2f} x", is_met, line)


def _prompts() -> Iterator[Row]:
    for name, test, isa, least in (
        *((name, "pp512", "avx512vnni", least) for name, least in _PROMPT.items()),
        ("1b-q4_0", "pp8192", "avx512vnni", _DEEP_PROMPT),
        ("7b-q4_0", "pp512", "amx", _AMX_PROMPT),
    ):
        for line, cell in _cells(name, test, isa):
            what = f"{model_name(name)}: {test}" + (", both with AMX" if isa == "amx" else "")
            ratio = cell["ratio"]
            yield Row(what, f"{least} x llama.cpp", f"{ratio:.2f} x", ratio >= least, line)


def _cells(
    name: str, test: str, isa: str = "avx512vnni", threads: int = 2
) -> Iterator[tuple[Line, Line]]:
    """The newest line of a model, and its cell of an empty context; none if there is none."""
    for line in reversed(lines("suite")):
        if (line["name"], isa_of(line), line["threads"]) == (name, isa, threads):
            for cell in line["cells"]:
                if cell["test"].startswith(test) and not {"@", "x"} & set(cell["test"]):
                    yield line, cell
                    return


def _depths() -> Iterator[Row]:
    for line in {(line["model"]["file"], line["depth"]): line for line in lines("depths")}.values():
        where = f"{model_name(line['model']['file'].removesuffix('.gguf'))}, {line['depth']} deep"
        for (what, kv_type), least in OVER_PEER.items():
            ratio = line["cells"][f"{what} {kv_type}"].get("over llama.cpp")
            if ratio is not None:
                doing = "decoding" if what == "tg" else "512 more of a prompt"
                yield Row(f"{where}, {kv_type}: {doing}", f"{least} x llama.cpp", f"{ratio:.2f} x",
                          ratio >= least, line)  # fmt: skip
        ratio = line["cells"]["tg int8"]["over f16"]
        yield Row(f"{where}, int8: decoding", f"{OVER_F16['tg']} x f16", f"{ratio:.2f} x",
                  ratio >= OVER_F16["tg"], line)  # fmt: skip


def _caches() -> Iterator[Row]:
    found = {(line["kv_type"], line["depth"]): line for line in lines("kv_types")}
    for (kv_type, depth), line in sorted(found.items(), reverse=True):
        if (most := _KL.get(kv_type)) is not None:
            kl = line["kl_mean"]
            yield Row(f"SmolLM2-135M, {kv_type}: KL from f16 at {depth} tokens", f"below {most}",
                      f"{kl:.5f}", kl < most, line)  # fmt: skip


def _long_prompt() -> Iterator[Row]:
    for line in lines("long_prompt")[-1:]:
        peak, n = line["peak_nbytes"], line["n_prompt"]
        hours = line["wall_s"] / 3600
        yield Row(
            f"{model_name(line['model']['file'].removesuffix('.gguf'))}: a prompt of {n} tokens",
            f"{_LONG} tokens within {_LONG_NBYTES / 1e9:.0f} GB",
            f"{peak / 1e9:.1f} GB, in {hours:.1f} hours",
            peak <= _LONG_NBYTES and n >= _LONG, line,
        )  # fmt: skip


def _starts() -> Iterator[Row]:
    for line in sorted(newest("start", "what"), key=lambda line: "7B" in line["what"]):
        ours, peer = statistics.median(line["ours"]), line["peer"]
        beside = f" (llama.cpp: {statistics.median(peer):.2f} s)" if peer else ""
        what = line["what"].replace("the same", "SmolLM2, that")
        yield Row(what, f"{line['target']:.2f} s", f"{ours:.2f} s{beside}",
                  ours <= line["target"], line)  # fmt: skip


def _contention() -> Iterator[Row]:
    for line in newest("contention", "name"):
        kept = {
            name: f"{'under ' if side['is_bound'] else ''}{side['kept']:.1%}"
            for name, side in line["engines"].items()
        }
        name = model_name(line["name"])
        yield Row(f"{name}: decode speed kept beside a busy process per core",
                  f"{line['target']:.0%}", f"{kept['halfbyte']} (llama.cpp: {kept['llama.cpp']})",
                  line["is_met"], line)  # fmt: skip
        if (idle := line["idle_cpu"]) is not None:
            yield Row(f"{name}: CPU use of an idle engine", "0%", f"{idle:.1%}", idle < 0.005, line)


def _memory() -> Iterator[Row]:
    for line in newest("memory", "name"):
        needed = line["model"]["nbytes"] + line["kv_nbytes"]
        more, most = (line[k] - needed for k in ("peak_nbytes", "bound_nbytes"))
        yield Row(f"{model_name(line['name'])}: peak memory beyond file and KV cache",
                  f"{most / 1e6:.0f} MB", f"{more / 1e6:.0f} MB",
                  line["is_met"], line)  # fmt: skip


def _cpu(line: Line) -> str:
    return str(line["machine"]["cpu"]).replace("(R)", "").replace(" Processor", "")


if __name__ == "__main__":
    print(section(), end="")
