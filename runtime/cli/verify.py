"""`halfbyte verify`: whether a file is what its conversion recorded in it."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from halfbyte.cli import options, report
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.errors import ModelFileError
from halfbyte.printable import printable

_WORDS = {True: "same", False: "DIFFERS", None: "not recorded"}


def add(parser: Parser) -> None:
    """Declare the options."""
    options.add_looked_at(parser)
    parser.add_argument(
        "-t", "--threads", type=options.positive, metavar="N", help="threads (default: the cores)"
    )
    parser.add_argument(
        "--quality", action="store_true",
        help="process the text again that quality was measured on (minutes for a large model)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one object")


def run(args: argparse.Namespace) -> None:
    """Print a line per check; an error if something differs."""
    from halfbyte.gguf.split import model_file
    from halfbyte.models import catalogue
    from halfbyte.verification import verify

    path = model_file(catalogue.resolve(args.model, pull=False))
    checks = verify(path, quality=args.quality, threads=args.threads, progress=BAR)
    BAR.clear()
    if args.json:
        report.print_json({"path": str(path), "checks": [asdict(check) for check in checks]})
        args.json = False  # the error below is told
    else:
        for check in checks:
            print(printable(f"{check.name:10} {_WORDS[check.is_same]:13} {check.detail}"))
    wrong = [check.name for check in checks if check.is_same is False]
    if wrong:
        raise ModelFileError(
            path,
            ", ".join(wrong),
            expected="what the conversion recorded",
            got="something else",
            hint="the file was changed or damaged: fetch or convert it again",
        )
