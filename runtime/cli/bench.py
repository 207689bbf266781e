"""`halfbyte bench`: prefill and decode speed, counted as llama-bench counts them.

pp512 is the time to process 512 random token ids with an empty cache, tg128 that to generate 128
tokens one by one from an empty cache, taking the most likely each time. A run of each comes first
and is not counted, and neither is compilation. The rate is the median of the repetitions.
Decode reads every weight once per token: its GB/s are compared with what this machine can read,
measured in the same run with the same threads.

With --ops it is the stages that are timed, each kind alone: its share of a step, and how near it
comes to the read bandwidth or to the int8 products that the machine can do.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

from halfbyte import __version__, system
from halfbyte.cli import options, report, streams
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from halfbyte.engine.profile import Phase
    from halfbyte.model import Model


_IN_CACHE_FROM = 1.1  # times the memory's bandwidth: beyond what measuring it can be off


@dataclass(frozen=True, slots=True)
class Result:
    """One test: tokens per second, the median and each repetition.

    gb_s and bandwidth_share belong to decode: weight bytes read per second, in all and as a part
    of what the machine can read.
    """

    test: str
    n: int
    tok_s: float
    runs: list[float]
    gb_s: float | None = None
    bandwidth_share: float | None = None


def add(parser: Parser) -> None:
    """Declare the options."""
    options.add_looked_at(parser, default=DEFAULT_MODEL)
    parser.add_argument(
        "-p", "--n-prompt", type=options.natural, default=512, metavar="N",
        help="tokens to process, 0: skip (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "-n", "--n-gen", type=options.natural, default=128, metavar="N",
        help="tokens to generate, 0: skip (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "-r", "--repetitions", type=options.positive, default=5, metavar="N",
        help="counted runs of each test (default: %(default)s)",
    )  # fmt: skip
    options.add_engine(parser)
    parser.add_argument(
        "--ops", action="store_true", help="time the stages of a step instead of pp and tg"
    )
    parser.add_argument("--json", action="store_true", help="print one object")


def run(args: argparse.Namespace) -> None:
    """Print a line per test."""
    with options.load_model(args) as model:
        _check_lengths(model, args)
        if args.ops:
            _run_ops(model, args)
        else:
            _run_tests(model, args)


def _check_lengths(model: Model, args: argparse.Namespace) -> None:
    """An error for what would not fit the context, instead of an hour of computing."""
    for flag, n in (("--n-prompt", args.n_prompt), ("--n-gen", args.n_gen)):
        if n > model.n_ctx:
            expected = f"at most the context, {model.n_ctx} tokens"
            raise RequestError(flag, expected=expected, got=n, hint="-c sets another context")


def _run_tests(model: Model, args: argparse.Namespace) -> None:
    bandwidth = system.read_bandwidth(model.n_threads)
    results = _measure(model, args, bandwidth)
    BAR.clear()
    if not args.json:
        _print_table(results)
        streams.note(
            f"{model.path} | {model.n_threads} threads | {system.describe_isa()} | "
            f"loaded in {model.load_s:.1f} s | this machine reads {bandwidth / 1e9:.1f} GB/s",
        )
        return
    report.print_json({
        "results": [asdict(result) for result in results], "model": model.path,
        "threads": model.n_threads, "isa": system.describe_isa(), "kv_type": args.kv_type,
        "arithmetic": args.arithmetic,
        "nbytes_per_token": model.nbytes_per_token, "read_bandwidth_gb_s": bandwidth / 1e9,
        "load_s": model.load_s, "version": __version__,
    })  # fmt: skip


def _run_ops(model: Model, args: argparse.Namespace) -> None:
    from halfbyte.engine import profile as ops

    BAR.clear()
    measured = ops.measure(model.engine)
    where = {"model": model.path, "threads": model.n_threads, "isa": system.describe_isa()}
    if args.json:
        report.print_json(asdict(measured) | where)
        return
    bandwidth, peak = measured.read_bandwidth, measured.int8_peak
    _print_phase("decode", measured.decode, "GB/s", "gb_s", bandwidth / 1e9)
    _print_phase("prefill", measured.prefill, "GMAC/s", "gmac_s", peak / 1e9)
    streams.note(
        f"{model.path} | {model.n_threads} threads | {where['isa']} | "
        f"limits: {bandwidth / 1e9:.1f} GB/s of memory, {peak / 1e9:.0f} GMAC/s; "
        "cached: read from the CPU's caches, to which the memory is no limit",
    )


def _share(rate: float, limit: float) -> str:
    """The part of a limit that a rate reaches.

    Bytes that stay in the CPU's caches from step to step come faster than the memory's limit.
    """
    return f"{rate / limit:.0%}" if rate <= _IN_CACHE_FROM * limit else "cached"


def _print_phase(title: str, phase: Phase, unit: str, rate_name: str, limit: float) -> None:
    tokens = "1 token" if phase.n_tokens == 1 else f"{phase.n_tokens} tokens"
    print(f"{title}, {tokens}: {1e3 * phase.seconds:.2f} ms a step")
    print(f"  {'stages':58}{'count':>6}{'ms':>10}{'of step':>9}{unit:>9}{'of limit':>10}")
    for op in phase.ops:
        rate = getattr(op, rate_name)
        row = f"  {op.name:58}{op.count:6}{1e3 * op.seconds:10.3f}{op.share:9.0%}"
        if rate is not None:
            row += f"{rate:9.1f}"
            # Attention computes with floats, which the int8 limit is not about.
            if unit == "GB/s" or not op.name.startswith("attention"):
                row += f"{_share(rate, limit):>10}"
        print(row)
    share = phase.rest_s / phase.seconds
    print(f"  {'gaps between the stages':64}{1e3 * phase.rest_s:10.3f}{share:9.0%}")


def _measure(model: Model, args: argparse.Namespace, bandwidth: float) -> list[Result]:
    from halfbyte.cli import speed

    results, engine = [], model.engine
    if args.n_prompt:
        tokens = speed.random_tokens(engine, args.n_prompt)
        measure = partial(speed.prefill_s, engine, tokens)
        results.append(_repeat("pp", measure, args.n_prompt, args.repetitions))
    if args.n_gen:
        measure = partial(speed.decode_s, engine, args.n_gen)
        result = _repeat("tg", measure, args.n_gen, args.repetitions)
        gb_s = result.tok_s * model.nbytes_per_token / 1e9
        results.append(replace(result, gb_s=gb_s, bandwidth_share=gb_s / (bandwidth / 1e9)))
    return results


def _repeat(kind: str, measure: Callable[[], float], n: int, repetitions: int) -> Result:
    """The rates of the repetitions, after one that does not count."""
    test, rates = f"{kind}{n}", []
    for i in range(repetitions + 1):
        BAR(f"bench {test}", i, repetitions + 1)
        seconds = measure()
        if i:
            rates.append(n / seconds)
    BAR(f"bench {test}", repetitions + 1, repetitions + 1)
    return Result(test, n, statistics.median(rates), rates)


def _print_table(results: list[Result]) -> None:
    print(f"{'test':8}{'tok/s':>10}{'lowest':>10}{'highest':>10}{'GB/s':>8}  of bandwidth")
    for r in results:
        row = f"{r.test:8}{r.tok_s:10.1f}{min(r.runs):10.1f}{max(r.runs):10.1f}"
        if r.gb_s is not None and r.bandwidth_share is not None:
            row += f"{r.gb_s:8.1f}{_share(r.bandwidth_share, 1.0):>14}"
        print(row)
