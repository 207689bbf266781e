"""How kernels are declared, compiled, cached and called.

A kernel is a module-level Python function over 64-bit integers (addresses, counts) that Numba
compiles to a plain C function. Kernels call each other's helpers directly (`@device`), but reach
other kernels only through their addresses, so each is compiled and cached alone: a model loads
just the formats it holds, and the forward pass does not change when a format is added.

Compiled code is machine code that loads by itself (machine_code.py): a process that finds all of it
in the cache never imports Numba, neither to declare kernels (deferred.py) nor to run them.

The cache folder is named by a hash of all kernel sources, Numba's version, the CPU and its
features, and lies below the user's cache directory; what is in it, and why nobody else may have
written it, stands in code_files.py.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from halfbyte.kernels.compiler import code_files, host_cpu, ready, target
from halfbyte.kernels.compiler.code_files import Code, CodeFileError
from halfbyte.kernels.compiler.deferred import Noted, noted
from halfbyte.kernels.compiler.fork_locks import KERNELS, importing, let_forks_wait
from halfbyte.kernels.compiler.machine_code import load
from halfbyte.kernels.compiler.private_files import private_folder
from halfbyte.kernels.compiler.uninterrupted import leave_if_unwanted, uninterrupted

if TYPE_CHECKING:
    from halfbyte.kernels.compiler.compile_processes import Maker

log = logging.getLogger(__name__)
M = TypeVar("M", bound=Callable[..., "Kernel"])

_SOURCES = Path(__file__).parent.parent  # all of kernels/: what compiled code depends on

MAX_PROCESSES = 8
# Of one that compiles: 230 MB for eight kernels with Numba 0.68 on x86-64, and some for each more.
PROCESS_NBYTES = 300_000_000
_KERNELS_PER_PROCESS = 3  # fewer are not worth the start of one


def _hash_of_sources() -> bytes:
    digest, root = hashlib.sha256(), str(_SOURCES)
    for path in _source_files():
        digest.update(path.removeprefix(root).replace(os.sep, "/").encode())
        with open(path, "rb", buffering=0) as file:
            digest.update(file.read())
    return digest.digest()


def _source_files() -> list[str]:
    """All of kernels/, as far as it is there: sources, else bytecode, else the archive."""
    walked = [os.path.join(at, name) for at, _, names in os.walk(_SOURCES) for name in names]
    for ending in (".py", ".pyc"):
        if found := sorted(path for path in walked if path.endswith(ending)):
            return found
    archive = getattr(globals()["__spec__"].loader, "archive", None)  # zipimport's
    if archive is None:
        raise ImportError(
            f"{_SOURCES}: expected files or a zip archive, by whose content the compiled kernels "
            "of one version are told from another's; install or bundle halfbyte as files"
        )
    return [str(archive)]


# Of what this process imports: it may be replaced on disk while the process runs.
SOURCES = _hash_of_sources()

_directory: Path | None = None
_lock = threading.RLock()  # whose holder compiles or loads
let_forks_wait(KERNELS, _lock)


def device(
    function: Callable[..., Any] | None = None, *, keeps_constants: bool = True
) -> Callable[..., Any]:
    """Decorate a helper of kernels.

    Integer constants stay constants in it, so tiles take them; but then it is compiled for each.

    Raises:
        ValueError: a function within another has the name that all of its kind have.
    """
    if function is None:
        return partial(device, keeps_constants=keeps_constants)
    if "<locals>" in function.__qualname__:
        raise ValueError(f"{function.__qualname__}: give it a __qualname__ that is unique")

    noted.append(Noted(function, prefer_literal=keeps_constants))
    return function


class Kernel:
    """A function of int64 arguments without result, compiled on first use.

    `name` is unique among all kernels: it names the cache file. `maker` says how another process
    finds it: the module, the name in it, and the arguments where that is a function.
    """

    def __init__(
        self,
        function: Callable[..., None],
        name: str,
        maker: Maker | None = None,
    ) -> None:
        function.__qualname__ = name
        self.name, self.maker = name, maker
        self._function = function
        self._n_args = function.__code__.co_argcount
        self._entry = re.sub(r"\W", "_", f"halfbyte_{name}")
        self._address: int | None = None

    @property
    def address(self) -> int:
        """Address of the compiled code; compiles or loads it from the cache when first asked."""
        if self._address is None:
            self.compile()
        assert self._address is not None
        return self._address

    @property
    def is_ready(self) -> bool:
        """Whether the code is loaded."""
        return self._address is not None

    @property
    def call(self) -> Callable[..., None]:
        """The compiled code as a function of Python's integers."""
        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * self._n_args)(self.address)

    def compile(self) -> bool:
        """Make the code ready; True when it came from the cache or was ready before."""
        return self.load() or uninterrupted(self._compile)

    def load(self) -> bool:
        """Make the code ready where the cache has it; whether it is."""
        return self._address is not None or uninterrupted(self._load)

    def new_code(self) -> Code:
        """The code, compiled anew and not used."""
        return uninterrupted(self._new_code)

    def assembly(self) -> str:
        """The machine code as text, compiled anew (cached code cannot be shown)."""

        def made() -> str:
            with importing:
                from halfbyte.kernels.compiler import numba_compiler

            return numba_compiler.assembly(self._function, self._n_args, self._entry)

        return uninterrupted(made)

    def _load(self) -> bool:
        with _lock:
            if self._address is not None:
                return True
            try:
                code = code_files.read(cache_directory(), self.name)
            except (CodeFileError, OSError) as error:
                log.warning("%s: unusable compiled code of %s (%s), compiling again",
                            cache_directory(), self.name, error)  # fmt: skip
                return False
            code = code or ready.read(self.name, SOURCES)
            if code is None:
                return False
            self._use(code)
            return True

    def _compile(self) -> bool:
        with importing:
            from halfbyte.kernels.compiler import numba_compiler

        # In the order in which a fork takes them.
        with numba_compiler.compiler_lock, _lock:
            if self._address is not None:
                return True
            try:
                code = self._new_code()
            except numba_compiler.TargetError:
                if not self._is_compiled_elsewhere():
                    raise
                return False
            # It is compiled and gets used: whatever fails here costs the next start, not this one.
            try:
                code_files.write(cache_directory(), code)
            except OSError as error:
                log.warning("%s: cannot keep compiled code (%s)", cache_directory(), error)
            self._use(code)
            return False

    def _new_code(self) -> Code:
        with importing:
            from halfbyte.kernels.compiler import numba_compiler

        made = numba_compiler.object_code(self._function, self._n_args, self._entry)
        return Code(self.name, self._entry, made)

    def _is_compiled_elsewhere(self) -> bool:
        """Whether another process could compile it, which has its own Numba."""
        return bool(list(_compiled_elsewhere([self], 1)))

    def _use(self, code: Code) -> None:
        target.settle()
        self._address = load(code.machine_code, code.entry)


def kernel_maker(make: M) -> M:
    """Decorate a module-level function that makes a kernel of its arguments: one of each.

    The arguments are numbers and strings, by which another process makes the same.
    """

    @cache
    @wraps(make)
    def made(*args: str | int) -> Kernel:
        kernel = make(*args)
        kernel.maker = (make.__module__, make.__name__, args)
        return kernel

    return cast(M, made)


def kernel(function: Callable[..., None]) -> Kernel:
    """Decorate a module-level function of integers as a kernel."""
    module, name = function.__module__, function.__name__
    return Kernel(function, f"{module.partition('.kernels.')[2]}.{name}", (module, name, None))


def is_disabled() -> bool:
    """Whether Numba was told to compile nothing; a choice that it makes when it is imported."""
    numba = sys.modules.get("numba")
    if numba is not None and hasattr(numba, "config"):
        return bool(numba.config.DISABLE_JIT)
    return os.environ.get("NUMBA_DISABLE_JIT", "") not in ("", "0")


def compile_all(
    kernels: Sequence[Kernel],
    progress: Callable[[int, int], None],
    max_processes: int = MAX_PROCESSES,
) -> int:
    """Load each kernel, or compile it; returns how many were compiled.

    Where some lack, it reports (done, total) of these as it goes. Where many do, several processes
    compile them, `max_processes` at most.
    """
    missing = []
    for item in kernels:
        leave_if_unwanted()
        if not item.load():
            missing.append(item)
    made, n_missing = 0, len(missing)
    if missing:
        progress(0, n_missing)
    n_processes = min(n_missing // _KERNELS_PER_PROCESS, n_cpus(), max_processes)
    if n_processes > 1:
        for made, _ in enumerate(_compiled_elsewhere(missing, n_processes), 1):
            progress(made, n_missing)
    for item in missing:  # what other processes cannot do
        leave_if_unwanted()
        if not item.is_ready:
            item.compile()
            made += 1
            progress(made, n_missing)
    return n_missing


def _compiled_elsewhere(kernels: Sequence[Kernel], n_processes: int) -> Iterator[Kernel]:
    """Yields those that other processes could compile, as they come; they are loaded then."""
    from halfbyte.kernels.compiler import compile_processes

    by_maker = {item.maker: item for item in kernels if item.maker is not None}
    words = (target.current().name, str(cache_directory()), cache_key())
    for maker in compile_processes.compiled(list(by_maker), words, n_processes):
        if by_maker[maker].load():
            yield by_maker[maker]


def n_cpus() -> int:
    """How many processes can run at once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_cache_root(root: Path) -> Path:
    """Keep compiled code below `root`; returns the folder, or a temporary one if that is unsafe.

    What versions that are no longer used have left there is removed.
    """
    global _directory
    try:
        folder = private_folder(root / cache_key())
        code_files.remove_old(folder.parent, folder)
    except OSError as error:
        folder = _temporary()
        log.warning("%s: not writable (%s); compiled kernels go to %s for this process",
                    root, error, folder)  # fmt: skip
    _directory = folder
    return folder


def use_directory(folder: Path) -> None:
    """Keep compiled code in a folder that `set_cache_root` has made, in another process."""
    global _directory
    _directory = folder


def cache_directory() -> Path:
    """The folder of the compiled code; a temporary one where `set_cache_root` was not called."""
    global _directory
    if _directory is None:
        _directory = _temporary()
    return _directory


def cache_key() -> str:
    """Names all that compiled code depends on: sources, Numba, LLVM, CPU and features."""
    digest = hashlib.sha256(SOURCES)
    for part in (host_cpu.version_of("numba"), host_cpu.version_of("llvmlite"), target.target_cpu(),
                 target.target_features()):  # fmt: skip
        digest.update(part.encode() + b"\0")
    return f"{target.current().name}-{digest.hexdigest()[:16]}"


def _temporary() -> Path:
    """A folder that goes with this process, and not with a child of a fork."""
    folder, owner = tempfile.mkdtemp(prefix="halfbyte-kernels-"), os.getpid()

    @atexit.register
    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    return Path(folder)
