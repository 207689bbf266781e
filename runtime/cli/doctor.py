"""`halfbyte doctor`: what halfbyte found on this machine."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path

from halfbyte import settings, system
from halfbyte.cli import report
from halfbyte.errors import HalfbyteError


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print one object")


def run(args: argparse.Namespace) -> None:
    """Print one finding a line; raises the first error after all were printed."""
    findings: dict[str, str] = {}
    errors: list[HalfbyteError] = []
    probes: dict[str, Callable[[], str]] = {
        "halfbyte": partial(metadata.version, "halfbyte"),
        "python": lambda: f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform,
        "numpy": partial(metadata.version, "numpy"),
        "numba": partial(metadata.version, "numba"),
        "llvmlite": partial(metadata.version, "llvmlite"),
        "cpu": _cpu,
        "isa": system.describe_isa,
        "threads": _threads,
        "cache": _cache,
        "kernels": lambda: str(system.kernel_cache()),
        "read bandwidth": _bandwidth,
    }
    for name, probe in probes.items():
        try:
            findings[name] = probe()
        except HalfbyteError as error:
            errors.append(error)
            findings[name] = f"error: {error}"
        if not args.json:
            print(f"{name + ':':16}{findings[name]}", flush=True)
    if args.json:
        report.print_json(findings)
    if errors:
        raise errors[0]


def _cpu() -> str:
    n_logical = os.cpu_count() or 1
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = named[0] if named else platform.processor() or platform.machine()
    return f"{name}, {n_logical} logical processors"


def _threads() -> str:
    threads = system.default_threads()
    return f"{threads.count} ({threads.reason})"


def _cache() -> str:
    """The cache folder and whether it can be written; it is not made for that."""
    folder = settings.cache_dir()
    parent = folder
    while not parent.exists():
        parent = parent.parent
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        return f"{folder} (NOT writable: {error.strerror or error})"
    return f"{folder} (writable)" if parent == folder else f"{folder} (will be made)"


def _bandwidth() -> str:
    n_threads = system.default_threads().count
    return f"{system.read_bandwidth(n_threads) / 1e9:.1f} GB/s with {n_threads} threads"
