"""`halfbyte complete`: continue a text."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from halfbyte.cli import options, report
from halfbyte.cli.progress import BAR

if TYPE_CHECKING:
    from halfbyte.model import Model


def add(commands: options.Commands) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser("complete", help="continue a text")
    options.add_model(parser)
    options.add_prompt(parser)
    options.add_sampling(parser)
    options.add_engine(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one object with text, tokens and statistics"
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> None:
    """Stream the continuation to stdout, then one line of statistics to stderr."""
    prompt, sampling = options.prompt_of(args), options.sampling_of(args)
    import halfbyte

    with halfbyte.load(
        args.model, threads=args.threads, ctx=args.ctx, kv_type=args.kv_type, progress=BAR
    ) as model:
        if args.json:
            _print_json(model, prompt, sampling)
        else:
            _stream(model, prompt, sampling)


def _stream(model: Model, prompt: str, sampling: dict[str, object]) -> None:
    stream = model.stream(prompt, progress=BAR, **sampling)
    last = ""
    for piece in stream:
        BAR.clear()
        sys.stdout.write(piece)
        sys.stdout.flush()
        last = piece or last
    BAR.clear()
    # Elsewhere stdout is the exact continuation; on a screen the shell wants a line of its own.
    if sys.stdout.isatty() and not last.endswith("\n"):
        sys.stdout.write("\n")
        sys.stdout.flush()
    if stream.completion is not None:
        print(report.stats_line(stream.completion.stats, model.nbytes_per_token), file=sys.stderr)


def _print_json(model: Model, prompt: str, sampling: dict[str, object]) -> None:
    completion = model.complete(prompt, progress=BAR, **sampling)
    BAR.clear()
    stats = completion.stats
    report.print_json(
        {
            "model": model.path,
            "text": completion.text,
            "tokens": completion.tokens,
            "finish_reason": completion.finish_reason,
            "stats": {
                "n_prompt": stats.n_prompt,
                "prefill_s": stats.prefill_s,
                "n_decode": stats.n_decode,
                "decode_s": stats.decode_s,
                "load_s": model.load_s,
            },
        }
    )
    print(report.stats_line(stats, model.nbytes_per_token), file=sys.stderr)
