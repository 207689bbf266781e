"""What LLVM calls this CPU and says that it has, remembered in the kernels' folder.

LLVM's library takes longer to load than a model's kernels, and a process whose kernels are all
there needs nothing else of it. The answer is kept under what the system says of the CPU, and holds
until the system starts again: a system names only features that it knows, so that a folder that two
machines share, or one whose virtual CPU was changed, could promise instructions that are not there.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

from halfbyte.kernels.compiler.fork_locks import importing
from halfbyte.kernels.compiler.private_files import NotPrivateError, open_private

log = logging.getLogger(__name__)

_CPUINFO, _BOOT = "/proc/cpuinfo", "/proc/sys/kernel/random/boot_id"
_MAX_NBYTES = 1 << 16
# What tells one x86 CPU from another, and what of it the system lets programs use.
_TELLING = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")

_root: Path | None = None


def remember_in(root: Path) -> None:
    """Where the kernels of all versions lie: answers from here on are kept there."""
    global _root
    _root = root


def name_and_features() -> tuple[str, str]:
    """LLVM's name of this CPU, and its features as one string."""
    told = _told()
    if _root is None or told is None:
        return _asked()
    cpu, boot = told
    path = _root / f"cpu-{hashlib.sha256(cpu.encode()).hexdigest()[:16]}.json"
    known = _recalled(path, f"{cpu}\n{boot}")
    if known is None:
        known = _asked()
        _keep(path, f"{cpu}\n{boot}", known)
    return known


def version_of(package: str) -> str:
    """What Numba's or llvmlite's own file states, without importing them."""
    found = importlib.util.find_spec(package)
    assert found is not None and found.origin is not None
    return Path(found.origin).with_name("_version.py").read_text()


def _asked() -> tuple[str, str]:
    with importing:
        import llvmlite.binding as llvm

        return str(llvm.get_host_cpu_name()), str(llvm.get_host_cpu_features().flatten())


def _told() -> tuple[str, str] | None:
    """What the system says of the first CPU, with LLVM's version, and which start of it this is.

    None where it says too little.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        with open(_CPUINFO, "rb") as file:
            text = file.read(_MAX_NBYTES).decode(errors="replace")
        with open(_BOOT, "rb") as file:
            boot = file.read(_MAX_NBYTES).decode(errors="replace").strip()
    except OSError:
        return None
    lines = [line.partition(":") for line in text.partition("\n\n")[0].splitlines()]
    found = {name.strip(): value.strip() for name, _, value in lines}
    if not boot or not all(found.get(name) for name in _TELLING):
        return None
    return "\n".join([*(found[name] for name in _TELLING), version_of("llvmlite")]), boot


def _recalled(path: Path, told: str) -> tuple[str, str] | None:
    try:
        with open_private(path) as file:
            known = json.loads(file.read(_MAX_NBYTES))
        if known["told"] == told:
            return str(known["name"]), str(known["features"])
    except FileNotFoundError:
        return None
    except (OSError, NotPrivateError, ValueError, TypeError, KeyError, RecursionError) as error:
        log.info("%s: what is known of the CPU cannot be used (%s)", path, error)
    return None


def _keep(path: Path, told: str, known: tuple[str, str]) -> None:
    content = json.dumps({"told": told, "name": known[0], "features": known[1]})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, made = tempfile.mkstemp(dir=path.parent)  # with mode 0600
        try:
            with open(descriptor, "w") as file:
                file.write(content)
            os.replace(made, path)
        except BaseException:
            os.unlink(made)
            raise
    except OSError as error:
        log.info("%s: what is known of the CPU is not kept (%s)", path, error)
