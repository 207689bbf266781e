"""`halfbyte doctor`: what halfbyte found on this machine."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from halfbyte import settings, system
from halfbyte.cli import report
from halfbyte.cli.parser import Parser
from halfbyte.errors import HalfbyteError
from halfbyte.printable import printable

Data = dict[str, object]
_PACKAGES = ("halfbyte", "numpy", "numba", "llvmlite")


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print one object, units in its keys")


def run(args: argparse.Namespace) -> None:
    """Print one finding a line, or all as data; raises the first error after that."""
    found: Data = {}
    errors: dict[str, HalfbyteError] = {}
    for name, (probe, layout) in _PROBES.items():
        try:
            data = probe()
            found |= data
            line = layout.format(**data)
        except HalfbyteError as error:
            errors[name] = error
            line = f"error: {error}"
        if not args.json:
            print(printable(f"{name + ':':16}{line}"), flush=True)
    if args.json:
        report.print_json(found | {"errors": {name: str(e) for name, e in errors.items()}})
        args.json = False  # the errors are told
    if errors:
        raise next(iter(errors.values()))


def _python() -> Data:
    return {"python_version": platform.python_version(), "python_executable": sys.executable}


def _cpu() -> Data:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = named[0] if named else platform.processor() or platform.machine()
    return {"cpu": name, "n_logical_processors": os.cpu_count() or 1}


def _isa() -> Data:
    name, _, cpu = system.describe_isa().partition(" ")
    return {"isa": name, "target_cpu": cpu.strip("()")}


def _threads() -> Data:
    threads = system.default_threads()
    return {"n_threads": threads.count, "threads_reason": threads.reason}


def _cache() -> Data:
    """The cache folder and whether it can be written; it is not made for that."""
    folder = settings.cache_dir()
    parent = folder
    while not parent.exists():
        parent = parent.parent
    state = "writable" if parent == folder else "will be made"
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        state = f"NOT writable: {error.strerror or error}"
    return {"cache_dir": str(folder), "cache_state": state}


def _bandwidth() -> Data:
    n_threads = system.default_threads().count
    gb_s = system.read_bandwidth(n_threads) / 1e9
    return {"read_bandwidth_gb_s": gb_s, "read_bandwidth_n_threads": n_threads}


def _version(package: str) -> tuple[Callable[[], Data], str]:
    key = f"{package}_version"
    return lambda: {key: metadata.version(package)}, f"{{{key}}}"


_PROBES: dict[str, tuple[Callable[[], Data], str]] = {
    **{package: _version(package) for package in _PACKAGES},
    "python": (_python, "{python_version} ({python_executable})"),
    "platform": (lambda: {"platform": platform.platform()}, "{platform}"),
    "cpu": (_cpu, "{cpu}, {n_logical_processors} logical processors"),
    "isa": (_isa, "{isa} ({target_cpu})"),
    "threads": (_threads, "{n_threads} ({threads_reason})"),
    "cache": (_cache, "{cache_dir} ({cache_state})"),
    "kernels": (lambda: {"kernels_dir": str(system.kernel_cache())}, "{kernels_dir}"),
    "read bandwidth": (
        _bandwidth, "{read_bandwidth_gb_s:.1f} GB/s with {read_bandwidth_n_threads} threads",
    ),
}  # fmt: skip
