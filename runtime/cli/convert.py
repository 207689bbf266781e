"""`halfbyte convert`: a Hugging Face folder or a .gguf file to one .gguf file."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from halfbyte.cli import options
from halfbyte.cli.progress import BAR

if TYPE_CHECKING:
    from halfbyte.convert.plan import Plan

_SAMPLE_ROWS, _SAMPLE_INPUTS = 128, 4096


def add(commands: options.Commands) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser(
        "convert", help="make a .gguf file from a Hugging Face folder or another .gguf file"
    )
    parser.add_argument("src", metavar="SRC", help="the folder, a .gguf file, or a hub's org/name")
    parser.add_argument(
        "dst", metavar="DST", nargs="?", help="the .gguf file to write (default: ./NAME.TYPE.gguf)"
    )
    parser.add_argument(
        "--type", default="q8_0", metavar="TYPE",
        help="f32, f16, bf16, q8_0, q6_k, q5_k_m, q5_k_s, q5_1, q5_0, q4_k_m, q4_k_s, q4_1, q4_0, "
        "q3_k_l, q3_k_m, q3_k_s or q2_k (default: q8_0)",
    )  # fmt: skip
    parser.add_argument(
        "--pure", action="store_true", help="one type for all matrices, the output's too"
    )
    parser.add_argument("--force", action="store_true", help="replace DST if it exists")
    parser.add_argument(
        "--dry-run", action="store_true", help="print sizes, memory and time; write nothing"
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> None:
    """Write DST, or print what would be written."""
    from halfbyte.convert.convert import convert, plan_conversion

    if args.dry_run:
        sys.stdout.write(_describe(plan_conversion(args.src, type=args.type, pure=args.pure)))
        return
    report = convert(
        args.src, args.dst, type=args.type, pure=args.pure, force=args.force, progress=BAR
    )
    BAR.clear()
    print(
        f"{report.path}: {report.type}, {report.n_tensors} tensors, {report.nbytes / 1e6:.1f} MB, "
        f"{report.bits_per_weight:.2f} bits per weight, {report.seconds:.1f} s",
        file=sys.stderr,
    )


def _describe(plan: Plan) -> str:
    """A plan as a table, with the seconds that quantizing will take about."""
    lines = [f"{'format':8} {'tensors':>8} {'weights':>16} {'MB':>10} {'bits each':>10}"]
    for name, (n, weights, nbytes) in plan.formats().items():
        bits = 8 * nbytes / weights
        lines.append(f"{name:8} {n:8} {weights:16,} {nbytes / 1e6:10.1f} {bits:10.2f}")
    lines.append(
        f"{'all':8} {len(plan.tensors):8} {plan.n_weights:16,} {plan.nbytes / 1e6:10.1f} "
        f"{plan.bits_per_weight:10.2f}"
    )
    lines += [f"{name}: rows do not fit the type's blocks" for name in plan.fallbacks]
    lines.append(f"memory: up to {plan.peak_nbytes / 1e6:.0f} MB")
    lines.append(f"time: about {_seconds(plan):.0f} s of computing, and the disk's")
    return "\n".join(lines) + "\n"


def _seconds(plan: Plan) -> float:
    """Seconds that quantizing takes, from a sample of each format on this machine."""
    import numpy as np

    from halfbyte.kernels.formats import FORMATS
    from halfbyte.kernels.quantize import quantize
    from halfbyte.system import default_threads, set_up_kernels

    set_up_kernels()
    rows = np.random.default_rng(0).standard_normal((_SAMPLE_ROWS, _SAMPLE_INPUTS), np.float32)
    threads, seconds = default_threads().count, 0.0
    for name, (_, weights, _) in plan.formats().items():
        quantize(rows[:1], FORMATS[name])  # compiles
        begin = time.perf_counter()
        quantize(rows, FORMATS[name], threads=threads)
        seconds += (time.perf_counter() - begin) / rows.size * weights
    return seconds
