"""`halfbyte warmup`: compile ahead of time what a model needs."""

from __future__ import annotations

import argparse
import sys
import time

from halfbyte.cli import options
from halfbyte.cli.progress import BAR


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.add_model(parser)
    options.add_engine(parser)


def run(args: argparse.Namespace) -> None:
    """Load the model, which compiles and caches its kernels, and say how long it took."""
    start = time.perf_counter()
    with options.load_model(args) as model:
        path = model.path
    BAR.clear()
    print(f"ready in {time.perf_counter() - start:.1f} s: {path}", file=sys.stderr)
