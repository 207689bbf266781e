"""`halfbyte list`: which models are in the cache."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime, timezone

from halfbyte import settings
from halfbyte.cli import report, streams
from halfbyte.cli.parser import Parser
from halfbyte.printable import printable


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print one object")


def run(args: argparse.Namespace) -> None:
    """Print a line per model: its name, size, licence and when it was last loaded."""
    from halfbyte.models.inventory import cached_models

    models = list(cached_models())
    if args.json:
        plain = [asdict(m) | {"path": str(m.path), "last_used": _iso(m.last_used)} for m in models]
        report.print_json({"cache_dir": str(settings.models_dir()), "models": plain})
        return
    width = max([24, *(len(printable(m.name)) for m in models)])
    for model in models:
        used = _iso(model.last_used)
        day = used[:10] if used else "never"
        license = printable(model.license) or "?"
        print(
            f"{printable(model.name):{width}}  {report.size(model.nbytes):>9}  {day:10}  {license}"
        )
    total = report.size(sum(model.nbytes for model in models))
    n = "1 model" if len(models) == 1 else f"{len(models)} models"
    streams.note(f"{n}, {total} in {settings.models_dir()}; the dates say when last used")


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
