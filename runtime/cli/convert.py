"""`halfbyte convert`: a Hugging Face folder or a .gguf file to one .gguf file."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from halfbyte.cli import streams
from halfbyte.cli.options import add_adapter
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.printable import printable

if TYPE_CHECKING:
    from halfbyte.converting.convert import ConversionReport
    from halfbyte.converting.plan import Plan


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument("src", metavar="SRC", help="the folder, a .gguf file, or a hub's org/name")
    parser.add_argument(
        "dst", metavar="DST", nargs="?", help="the .gguf file to write (default: ./NAME.TYPE.gguf)"
    )
    parser.add_argument(
        "--type", default="q8_0", metavar="TYPE",
        help="f32, f16, bf16, q8_0, q6_k, q5_k_m, q5_k_s, q5_1, q5_0, q4_k_m, q4_k_s, mxfp4_moe, "
        "q4_1, q4_0, iq4_nl, iq4_xs, q3_k_l, q3_k_m, q3_k_s, q2_k, q2_0, tq2_0, tq1_0, q1_0 or "
        "keep (default: q8_0)",
    )  # fmt: skip
    parser.add_argument(
        "--pure", action="store_true", help="one type for all matrices, the output's too"
    )
    add_adapter(parser, "merge a LoRA into the weights: a peft folder or a .gguf adapter")
    parser.add_argument(
        "--no-drafts", action="store_true",
        help="leave out layers that guess tokens further ahead (docs/speculation.md)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--dry-run", action="store_true", help="print sizes, memory and time; write nothing"
    )
    _add_calibration(parser)
    group = parser.add_argument_group("quality")
    group.add_argument(
        "--no-measure", action="store_true",
        help="do not compare the result with its source (which takes longer than converting)",
    )  # fmt: skip
    group.add_argument(
        "--report", metavar="FILE.html", help="write a page with the error of every matrix"
    )


def _add_calibration(parser: Parser) -> None:
    group = parser.add_argument_group("calibration")
    group.add_argument(
        "--calibrate", metavar="TEXT", nargs="?", const=True, default=False,
        help="choose scales and codes by what a text file or folder sends through the model "
        "(default text: Python that comes with halfbyte); better and far slower",
    )  # fmt: skip
    group.add_argument(
        "--imatrix", metavar="FILE", help="weigh errors by an importance matrix, .gguf or .dat"
    )
    group.add_argument(
        "--save-imatrix", metavar="FILE", help="with --calibrate: save the text's importance matrix"
    )


def run(args: argparse.Namespace) -> None:
    """Write DST, or print what would be written."""
    from halfbyte.conversion import convert, plan_conversion

    if args.dry_run:
        begin_s = time.perf_counter()
        plan = plan_conversion(
            args.src, type=args.type, pure=args.pure, adapter=args.adapter,
            drafts=not args.no_drafts,
        )  # fmt: skip
        opening_s = time.perf_counter() - begin_s
        sys.stdout.write(printable(_describe(plan, opening_s)))
        return
    report = convert(
        args.src, args.dst, type=args.type, pure=args.pure, calibrate=args.calibrate,
        imatrix=args.imatrix, save_imatrix=args.save_imatrix, measure=not args.no_measure,
        report=args.report, adapter=args.adapter, drafts=not args.no_drafts, force=args.force,
        progress=BAR,
    )  # fmt: skip
    BAR.clear()
    streams.note(_summary(report))


def _summary(report: ConversionReport) -> str:
    text = (
        f"{report.path}: {report.type}, {report.n_tensors} tensors, {report.nbytes / 1e6:.1f} MB, "
        f"{report.bits_per_weight:.2f} bits per weight, {report.seconds:.1f} s"
    )
    f = report.figures
    if f is not None:
        text += (
            f"\nbeside its source, weights alone, on {f.n_positions} tokens of Python: "
            f"mean KL {f.kl_mean:.5f}, p99 {f.kl_p99:.5f}, top-1 {f.top1:.2%}, "
            f"perplexity {f.perplexity:.4f} (source {f.perplexity_source:.4f})"
        )
    return text


def _describe(plan: Plan, opening_s: float) -> str:
    """A plan as a table, with the memory and the time that its parts will take about."""
    from halfbyte.converting.report.estimate import estimate

    lines = [f"{'format':8} {'tensors':>8} {'weights':>16} {'MB':>10} {'bits each':>10}"]
    for name, (n, weights, nbytes) in plan.formats().items():
        bits = 8 * nbytes / weights
        lines.append(f"{name:8} {n:8} {weights:16,} {nbytes / 1e6:10.1f} {bits:10.2f}")
    lines.append(
        f"{'all':8} {len(plan.tensors):8} {plan.n_weights:16,} {plan.nbytes / 1e6:10.1f} "
        f"{plan.bits_per_weight:10.2f}"
    )
    lines += [f"{name}: rows do not fit the type's blocks" for name in plan.fallbacks]
    seconds = estimate(plan)
    lines.append(f"{'':12} {'memory':>10} {'computing':>12}")
    for name, nbytes, part_s in (
        ("converting", plan.peak_nbytes, opening_s + seconds.quantize_s),
        ("measuring", plan.measuring_nbytes, seconds.measure_s),
        ("--calibrate", plan.calibrating_nbytes, seconds.calibrate_s),
    ):
        lines.append(f"{name:12} {nbytes / 1e6:7.0f} MB {_duration(part_s):>12}")
    lines.append("estimated for this machine; reading and writing come on top")
    return "\n".join(lines) + "\n"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
