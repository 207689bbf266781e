"""`halfbyte warmup`: compile ahead of time what a model needs."""

from __future__ import annotations

import argparse
import sys
import time

from halfbyte.cli import options
from halfbyte.cli.progress import BAR


def add(commands: options.Commands) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser("warmup", help="compile the kernels that a model needs")
    options.add_model(parser)
    options.add_engine(parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> None:
    """Load the model, which compiles and caches its kernels, and say how long it took."""
    start = time.perf_counter()
    with options.load_model(args) as model:
        path = model.path
    BAR.clear()
    print(f"ready in {time.perf_counter() - start:.1f} s: {path}", file=sys.stderr)
