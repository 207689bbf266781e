"""`halfbyte warmup`: compile ahead of time what a model needs."""

from __future__ import annotations

import argparse
import time

from halfbyte.cli import options, streams
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.models import DEFAULT_MODEL


def add(parser: Parser) -> None:
    """Declare the options."""
    options.add_looked_at(parser, default=DEFAULT_MODEL)
    options.add_engine(parser)


def run(args: argparse.Namespace) -> None:
    """Load the model, which compiles and caches its kernels, and say how long it took."""
    start = time.perf_counter()
    with options.load_model(args) as model:
        path = model.path
    BAR.clear()
    streams.note(f"ready in {time.perf_counter() - start:.1f} s: {path}")
