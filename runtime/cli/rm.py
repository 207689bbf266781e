"""`halfbyte rm`: remove models or compiled kernels from the cache."""

from __future__ import annotations

import argparse
from functools import partial

from halfbyte.cli import report, streams
from halfbyte.cli.parser import Parser


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument("models", metavar="MODEL", nargs="*", help="a name that `list` shows")
    parser.add_argument(
        "--kernels", action="store_true",
        help="remove all compiled kernels; the next load compiles again what it needs",
    )  # fmt: skip
    parser.checks.append(partial(_check, parser))


def run(args: argparse.Namespace) -> None:
    """Remove one after the other, saying what is gone."""
    from halfbyte import system
    from halfbyte.models import inventory

    for name in args.models:
        gone = inventory.remove(name)
        streams.note(f"removed {gone.path}, {report.size(gone.nbytes)}")
    if args.kernels:
        nbytes = system.remove_kernels()
        streams.note(f"removed {report.size(nbytes)} of compiled kernels")


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if not args.models and not args.kernels:
        parser.error("give the name of a model, or --kernels")
