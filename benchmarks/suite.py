"""Every cell of the speed table: halfbyte against llama.cpp, group by group.

    python benchmarks/suite.py                    all groups
    python benchmarks/suite.py 7b smollm2         some of them
    python benchmarks/suite.py 7b --rounds 3      with fewer rounds
    python benchmarks/suite.py --list

A group is a model file and the engines that read it: both load once, take turns, and sleep while
it is the other's. Files of random weights are written into --files on first use. After each group
a line is appended to benchmarks/results/suite.jsonl, so a run that was cut short goes on with the
groups that it lacks; report.py takes each group's newest.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import environments
import results
import synth_gguf
import synth_infill
from cells import Cell, batch, decode, measure, prefill, show
from protocol import Worker, WorkerError

from halfbyte import settings
from halfbyte.kernels.compiler import target
from halfbyte.models import catalogue

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Group:
    """Cells of one file, measured with both engines loaded once.

    `isa` forces halfbyte's instruction set, `peer` is the environment of a llama.cpp built for the
    same one; `sequences` of `ctx` tokens is what both make room for.
    """

    name: str
    model: str
    cells: tuple[Cell, ...]
    threads: int = 2
    rounds: int = 5
    ctx: int = 1024
    sequences: int = 1
    isa: str | None = None
    peer: str = "peer"


def groups() -> dict[str, Group]:
    """All groups, with new cells.

    Targets are for 2 cores with AVX-512 VNNI. Where a CPU has more than that, groups held to that
    come first, and then those that use all it has.
    """
    made = [
        replace(group, name=f"{group.name}-avx512", isa="avx512vnni", peer="peer-avx512")
        for group in _groups()
    ]
    made += _groups()
    made.append(
        Group("1b-avx2", "1b-q4_0", (prefill(512, 1.2), decode(64, target=1.0)), isa="avx2",
              peer="peer-avx2")
    )  # fmt: skip
    return {group.name: group for group in made}


def _groups() -> list[Group]:
    return [
        Group("7b", "7b-q4_0", (prefill(512, 2.2), decode(32, target=1.05))),
        Group("7b-1t", "7b-q4_0", (decode(16, target=1.3),), threads=1),
        Group("7b-batch", "7b-q4_0", (batch(8, 16, 2.2),), ctx=256, sequences=8),
        Group("1b-q4_0", "1b-q4_0", (prefill(512, 2.6), decode(64, target=1.3))),
        Group("1b-q8_0", "1b-q8_0", (prefill(512, 4.6), decode(64, target=1.3))),
        Group("1b-q4_k", "1b-q4_k", (prefill(512, 2.7), decode(64, target=1.3))),
        Group("1b-q6_k", "1b-q6_k", (prefill(512, 1.9), decode(64, target=1.2))),
        Group("1b-deep", "1b-q4_0", (prefill(8192, 4.0), decode(32, 8192, 3.5)), ctx=8448),
        Group("smollm2", "smollm2-135m", (prefill(320, 6.0), decode(64, target=1.9),
                                          decode(64, 2048, 1.9)), ctx=2560),
    ]  # fmt: skip


def model_path(name: str, files: Path) -> Path:
    """The file that a name or path stands for, made or pulled where it has to be."""
    if name in synth_gguf.names():
        return synth_gguf.ensure(name, files)
    if name.removesuffix("-infill") in synth_infill.KINDS:
        return synth_infill.ensure(name.removesuffix("-infill"), files)
    return catalogue.resolve(name)


def _left_out(group: Group) -> str | None:
    """Why a group is not measured on this CPU, if so."""
    supported = target.supported()
    if group.isa is None or group.isa in supported[1:]:
        return None
    return f"this CPU has {'nothing above' if group.isa == supported[0] else 'no'} {group.isa}"


def run(group: Group, rounds: int, files: Path) -> None:
    """Measure a group, print it and append it."""
    path = model_path(group.model, files)
    options = (path, "-t", group.threads, "--ctx", group.ctx, "--sequences", group.sequences)
    isa = {settings.ISA_VARIABLE: group.isa} if group.isa else {}
    with (
        Worker(sys.executable, HERE / "ours.py", *options, env=isa) as ours,
        Worker(environments.make(group.peer), HERE / "peer.py", *options) as peer,
    ):
        limits = measure(list(group.cells), ours, peer, rounds)
    records = [cell.record(ours.info, limits) for cell in group.cells]
    print(f"\n{group.name}: {path.name}, {group.threads} threads, {ours.info['isa']} against "
          f"{group.peer}, median of {rounds}")  # fmt: skip
    show(records, limits)
    facts: dict[str, Any] = {
        "group": group.name,
        "name": group.model,
        "cells": records,
        "limits": asdict(limits),
        "rounds": rounds,
        "halfbyte": ours.info,
        "peer": peer.info | {"environment": group.peer},
    }
    results.append("suite", path, group.threads, facts)


def parse(known: dict[str, Group]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="default: all")
    parser.add_argument("--list", action="store_true", help="only print the groups")
    parser.add_argument("--rounds", type=int, metavar="N", help="instead of each group's own")
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    args = parser.parse_args()
    unknown = [name for name in args.groups if name not in known]
    if unknown:
        parser.error(f"unknown groups: {', '.join(unknown)}; known: {', '.join(known)}")
    return args


def main() -> None:
    """Run the groups that are named."""
    known = groups()
    args = parse(known)
    if args.list:
        for group in known.values():
            print(f"{group.name:15} {group.model:13} {', '.join(c.test for c in group.cells)}")
        return
    results.warn_if_busy()
    failed = []
    for name in args.groups or known:
        group = known[name]
        if reason := _left_out(group):
            print(f"{name}: left out, {reason}", file=sys.stderr)
            continue
        try:
            run(group, args.rounds or group.rounds, args.files)
        except (WorkerError, BrokenPipeError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
