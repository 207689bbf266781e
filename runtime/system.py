"""What this machine offers: instruction set, cores, memory bandwidth.

The kernels are set up here, once per process and before the first one is compiled: which ISA they
are compiled for and where the compiled code is kept.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from halfbyte import settings
from halfbyte.errors import EngineError, SettingError
from halfbyte.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from halfbyte.kernels.pool import Pool

log = logging.getLogger(__name__)
_lock = threading.Lock()


def _new_lock() -> None:
    """In a forked child: another thread may have held it, and will never release it there."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


@dataclass(frozen=True, slots=True)
class Threads:
    """How many threads to use, and what decided it."""

    count: int
    reason: str


def set_up_kernels() -> None:
    """Choose the ISA and the folder of compiled code.

    Raises:
        SettingError: HALFBYTE_ISA cannot be honoured, or NUMBA_DISABLE_JIT is set.
    """
    from halfbyte.kernels.compiler.uninterrupted import uninterrupted

    def locked() -> None:
        with _lock:
            _set_up_kernels()

    uninterrupted(locked)


@cache
def _set_up_kernels() -> None:
    from halfbyte.kernels.compiler import host_cpu, jit, target

    if jit.is_disabled():
        raise SettingError(
            "NUMBA_DISABLE_JIT", expected="0 or nothing: Numba compiles what halfbyte runs", got="1"
        )
    root = settings.cache_dir() / "kernels"
    host_cpu.remember_in(root)
    name = settings.isa()
    if name is not None:
        try:
            target.force(name)
        except target.IsaError as error:
            raise SettingError(settings.ISA_VARIABLE, expected=error.expected, got=name) from error
    # At DEBUG Numba tells of every instruction that it compiles, 60,000 records a model. Who wants
    # them asks for them by this name.
    if logging.getLogger("numba").level == logging.NOTSET:
        logging.getLogger("numba").setLevel(logging.INFO)
    folder = jit.set_cache_root(root)
    log.info("kernels for %s, compiled code in %s", target.current().name, folder)


def describe_isa() -> str:
    """The ISA in use and the CPU that the kernels are compiled for."""
    set_up_kernels()
    from halfbyte.kernels.compiler import target

    return f"{target.current().name} ({target.target_cpu()})"


def describe_products() -> dict[str, str]:
    """What makes a model's products here, for each of `load`'s arithmetics."""
    set_up_kernels()
    from halfbyte.kernels.compiler import target
    from halfbyte.kernels.vectors import bf16

    return {"int8": target.current().name, "bf16": bf16.instructions()}


def kernel_cache() -> Path:
    """The folder of compiled kernels."""
    set_up_kernels()
    from halfbyte.kernels.compiler import jit

    return jit.cache_directory()


def remove_kernels() -> int:
    """Remove compiled kernels of every version; returns the bytes freed.

    Processes that run keep what they have loaded.

    Raises:
        SettingError: a folder cannot be removed.
    """
    from halfbyte.kernels.compiler import code_files

    root = settings.cache_dir() / "kernels"
    try:
        return code_files.remove_all(root)
    except OSError as error:
        raise SettingError(
            settings.CACHE_VARIABLE, expected="a folder whose kernels can be removed",
            got=f"{error.filename or root} ({error.strerror or error})",
        ) from error  # fmt: skip


def default_threads() -> Threads:
    """HALFBYTE_THREADS, else the physical cores within the affinity mask and the CPU quota.

    Raises:
        SettingError: HALFBYTE_THREADS is not a number of threads.
    """
    wanted = settings.threads()
    if wanted is not None:
        return Threads(wanted, settings.THREADS_VARIABLE)
    cpus = _allowed_cpus()
    count, reason = _physical_cores(cpus), "physical cores"
    if len(cpus) < (os.cpu_count() or 1):
        reason = "physical cores within the affinity mask"
    quota = _cpu_quota()
    if quota is not None and quota < count:
        # Rounded down: a thread without its share of time makes the others wait.
        count, reason = max(1, math.floor(quota)), f"the CPU quota of {quota:g}"
    return Threads(count, reason)


def read_bandwidth(threads: int) -> float:
    """Measured read bandwidth in bytes per second with so many threads."""
    set_up_kernels()
    from halfbyte.kernels.limits.bandwidth import read_bandwidth as measure

    with closing(start_pool(threads)) as pool:
        return measure(pool)


def n_processors() -> int:
    """Logical processors that this process may use."""
    return len(_allowed_cpus())


def start_pool(threads: int) -> Pool:
    """Threads that compute.

    Raises:
        EngineError: the system gives fewer.
    """
    from halfbyte.kernels.pool import Pool, ThreadsError

    try:
        return Pool(threads)
    except ThreadsError as error:
        raise EngineError(
            f"only {error}", hint=f"ask for at most {error.n_running} threads, or allow more"
        ) from error


def _allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _physical_cores(cpus: set[int]) -> int:
    """Cores among the logical CPUs: SMT siblings share one. All CPUs where that is unknown."""
    cores = set()
    for cpu in cpus:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            cores.add((topology / "thread_siblings_list").read_text().strip())
        except OSError:
            cores.add(str(cpu))
    return max(1, len(cores))


def _cpu_quota() -> float | None:
    """CPUs' worth of time that the cgroup allows, or None where it does not limit."""
    limits = []
    for folder in _cgroup_folders():
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            if quota != "max":
                limits.append(int(quota) / int(period))
        except (OSError, ValueError):
            pass
        try:
            microseconds = int((folder / "cpu.cfs_quota_us").read_text())
            period_us = int((folder / "cpu.cfs_period_us").read_text())
            if microseconds > 0 and period_us > 0:
                limits.append(microseconds / period_us)
        except (OSError, ValueError):
            pass
    return min(limits, default=None)


def _cgroup_folders(controller: str = "cpu") -> list[Path]:
    """The process's cgroup (v2, or v1's controller) and its parents, nearest first."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = [root, root / controller]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        relative = Path(path.lstrip("/"))
        folders += [base / part for part in (relative, *relative.parents)]
    return folders


def available_memory() -> int | None:
    """Bytes that this process may still take, by the system and its cgroups; None if unknown."""
    left = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = dict(line.split(":", 1) for line in lines)
        left.append(1024 * int(sizes["MemAvailable"].split()[0]))
    except (OSError, ValueError, KeyError, IndexError):
        pass
    for folder in _cgroup_folders("memory"):
        for most, used, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            try:
                limit = int((folder / most).read_text())
                statistics = (folder / "memory.stat").read_text().splitlines()
                files = dict(line.split() for line in statistics)
                # What only speeds files up is given back when it is needed.
                now = int((folder / used).read_text()) - int(files.get(cached, 0))
                left.append(max(limit - now, 0))
            except (OSError, ValueError):  # "max" is no number
                pass
    return min(left, default=None)
