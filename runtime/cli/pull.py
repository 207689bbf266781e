"""`halfbyte pull`: fetch models by name."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from halfbyte.cli import report
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR

if TYPE_CHECKING:
    from halfbyte.models.entries import Entry


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument(
        "models", metavar="MODEL", nargs="*",
        help="a name of the catalogue or org/name; without one the catalogue is listed",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="fetch it even if it is there")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be fetched, and how much"
    )
    parser.checks.append(partial(_check, parser))


def run(args: argparse.Namespace) -> None:
    """Print where each model lies; without one, the catalogue."""
    from halfbyte.models import catalogue
    from halfbyte.models.entries import CATALOGUE

    if not args.models:
        for entry in CATALOGUE:
            mark = "  (in the cache)" if catalogue.is_cached(entry) else ""
            print(f"{entry.name:24}{_about(catalogue.size(entry)):>12}  {entry.summary}{mark}")
        return
    entries = [catalogue.find(name) for name in args.models]  # a wrong name before the first byte
    for entry in entries:
        if args.dry_run:
            _describe(entry, force=args.force)
            continue
        path = catalogue.pull(entry.name, force=args.force, progress=BAR)
        BAR.clear()
        print(path)


def _describe(entry: Entry, *, force: bool) -> None:
    from halfbyte.models import catalogue
    from halfbyte.models.model_files import files_of

    path = catalogue.cached_path(entry)
    if catalogue.is_cached(entry) and not force:
        nbytes = sum(file.stat().st_size for file in files_of(path))
        print(f"{entry.name}: in the cache, {report.size(nbytes)}: {path}")
        return
    nbytes = catalogue.size(entry, asks=True)
    print(f"{entry.name}: {_about(nbytes)} to fetch, becomes {path}")


def _about(nbytes: int) -> str:
    return report.size(nbytes) if nbytes else "?"


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if not args.models and (args.force or args.dry_run):
        parser.error("--force and --dry-run are for models that are named")
