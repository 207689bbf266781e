"""`halfbyte pull`: fetch a model by name."""

from __future__ import annotations

import argparse

from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model", nargs="?",
        help="a name of the catalogue or org/name; without one the catalogue is listed",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="fetch it even if it is there")


def run(args: argparse.Namespace) -> None:
    """Print where the model lies."""
    from halfbyte.models import catalogue
    from halfbyte.models.entries import CATALOGUE

    if args.model is None:
        for entry in CATALOGUE:
            mark = "  (in the cache)" if catalogue.is_cached(entry) else ""
            print(f"{entry.name:24}{entry.summary}{mark}")
        return
    path = catalogue.pull(args.model, force=args.force, progress=BAR)
    BAR.clear()
    print(path)
