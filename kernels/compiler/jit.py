"""How kernels are compiled, cached and called.

A kernel is a module-level Python function over 64-bit integers (addresses, counts) that Numba
compiles to a plain C function. Kernels call each other's helpers directly (`@device`), but reach
other kernels only through their addresses, so each is compiled and cached alone: a model loads
just the formats it holds, and the forward pass does not change when a format is added.

Numba's own cache knows neither that a helper in another file has changed nor that the package
was updated. Here the cache folder is named by a hash of all kernel sources, Numba's version, the
CPU and its features, and lies below the user's cache directory; what is in it, and why nobody else
may have written it, stands in code_files.py.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llvmlite
import numba
from llvmlite.binding.ffi import lib as llvm_library
from numba import types
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.runtime import rtsys
from numba.extending import overload

from halfbyte.kernels.compiler import code_files, target
from halfbyte.kernels.compiler.code_files import Code, CodeFileError
from halfbyte.kernels.compiler.helper_compiler import HelperCompiler
from halfbyte.kernels.compiler.private_files import private_folder
from halfbyte.kernels.compiler.uninterrupted import leave_if_unwanted, uninterrupted

log = logging.getLogger(__name__)

OPTIONS = {"error_model": "numpy", "boundscheck": False}
_HELPER_OPTIONS = OPTIONS | {"pipeline_class": HelperCompiler, "no_cfunc_wrapper": True}

_SOURCES = Path(__file__).parent.parent  # all of kernels/: what compiled code depends on

_directory: Path | None = None
_is_forking = False


def _before_fork() -> None:
    """Wait for the kernel that another thread compiles.

    The child would have half a compiler otherwise, and locks that are never released.
    """
    global _is_forking
    global_compiler_lock.acquire()
    llvm_library._lock.__enter__()
    _is_forking = True


def _after_fork() -> None:
    global _is_forking
    if _is_forking:  # unless this module was imported while the fork waited for other things
        _is_forking = False
        llvm_library._lock.__exit__()
        global_compiler_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )


def device(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a helper of kernels. Integer constants stay constants in it, so tiles take them.

    Cached kernels that are loaded together share helpers by name and types, whoever compiled them.
    So what a helper does must follow from these: a function within another needs a name of its own.

    Raises:
        ValueError: a function within another has the name that all of its kind have.
    """
    if "<locals>" in function.__qualname__:
        raise ValueError(f"{function.__qualname__}: give it a __qualname__ that is unique")

    @overload(function, jit_options=_HELPER_OPTIONS, strict=False, prefer_literal=True)
    def implementation(*args: Any) -> Callable[..., Any]:
        return function

    return function


class Kernel:
    """A function of int64 arguments without result, compiled on first use.

    `name` is unique among all kernels: it names the cache file.
    """

    def __init__(self, function: Callable[..., None], name: str) -> None:
        function.__qualname__ = name
        self.name = name
        self._function = function
        self._n_args = function.__code__.co_argcount
        self._cfunc: CFunc | None = None

    @property
    def address(self) -> int:
        """Address of the compiled code; compiles or loads it from the cache when first asked."""
        if self._cfunc is None:
            self.compile()
        assert self._cfunc is not None
        return int(self._cfunc.address)

    @property
    def call(self) -> Callable[..., None]:
        """The compiled code as a function of Python's integers."""
        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * self._n_args)(self.address)

    def compile(self) -> bool:
        """Make the code ready; True when it came from the cache or was ready before."""
        return self._cfunc is not None or uninterrupted(self._compile)

    def _compile(self) -> bool:
        with global_compiler_lock:
            if self._cfunc is None:
                cfunc = self._uncompiled()
                cfunc._cache = _Cache(self.name)
                cfunc.compile()
                self._cfunc = cfunc
                return bool(cfunc._cache_hits)
        return True

    def assembly(self) -> str:
        """The machine code as text, compiled anew (cached code cannot be shown)."""

        def made() -> str:
            cfunc = self._uncompiled()
            cfunc.compile()
            return str(cfunc._library.get_asm_str())

        return uninterrupted(made)

    def _uncompiled(self) -> CFunc:
        signature = (types.int64,) * self._n_args, types.void
        return CFunc(self._function, signature, locals={}, options=dict(OPTIONS))


def kernel(function: Callable[..., None]) -> Kernel:
    """Decorate a module-level function of integers as a kernel."""
    module = function.__module__.partition(".kernels.")[2]
    return Kernel(function, f"{module}.{function.__name__}")


def is_disabled() -> bool:
    """Whether Numba was told to compile nothing; a choice that it makes when it is imported."""
    return bool(numba.config.DISABLE_JIT)


def compile_all(kernels: Sequence[Kernel], progress: Callable[[int, int], None]) -> int:
    """Compile each kernel, reporting (done, total) as it goes; returns how many were compiled."""
    compiled = 0
    progress(0, len(kernels))
    for i, item in enumerate(kernels):
        leave_if_unwanted()
        compiled += not item.compile()
        progress(i + 1, len(kernels))
    return compiled


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


def cache_directory() -> Path:
    """The folder of the compiled code; a temporary one where `set_cache_root` was not called."""
    global _directory
    if _directory is None:
        _directory = _temporary()
    return _directory


def cache_key() -> str:
    """Names all that compiled code depends on: sources, Numba, LLVM, CPU and features."""
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.rglob("*.py")):
        digest.update(source.relative_to(_SOURCES).as_posix().encode())
        digest.update(source.read_bytes())
    for part in (numba.__version__, llvmlite.__version__, target.target_cpu(),
                 target.target_features()):  # fmt: skip
        digest.update(part.encode() + b"\0")
    return f"{target.current().name}-{digest.hexdigest()[:16]}"


def _temporary() -> Path:
    """A folder that goes with this process."""
    folder = tempfile.TemporaryDirectory(prefix="halfbyte-kernels-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return Path(folder.name)


class _Cache(NullCache):
    """Keeps a kernel's machine code, where Numba would pickle all that it knows of a function."""

    def __init__(self, name: str) -> None:
        self._name = name

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # All of Numba's types and functions, which take longer to set up than kernels to load, are
        # for compiling. Finished code may name functions of its runtime, though it calls none.
        rtsys.initialize(target_context)
        code = None
        try:
            code = code_files.read(cache_directory(), self._name)
        except (CodeFileError, OSError) as error:
            log.warning("%s: unusable compiled code of %s (%s), compiling again",
                        cache_directory(), self._name, error)  # fmt: skip
        if code is None:
            target_context.refresh()
            return None
        return _loaded(code, target_context.codegen())

    def save_overload(self, sig: Any, data: Any) -> None:
        data.library._ensure_finalized()
        entry = data.fndesc.llvm_cfunc_wrapper_name
        code = Code(self._name, data.library.name, entry, data.library._get_compiled_object())
        # The code is compiled and in use: whatever fails here costs the next start, not this one.
        try:
            code_files.write(cache_directory(), code)
        except OSError as error:
            log.warning("%s: cannot keep compiled code (%s)", cache_directory(), error)


def _loaded(code: Code, codegen: Any) -> Any:
    """What Numba's CFunc asks of a compiled function, from its machine code."""
    library = codegen.create_library(code.library)
    library.enable_object_caching()
    library._set_compiled_object(code.machine_code)
    library._finalize_final_module()  # no IR: the linker takes the machine code in its place
    codegen._engine._defined_symbols.add(code.entry)
    return SimpleNamespace(
        library=library, fndesc=SimpleNamespace(llvm_cfunc_wrapper_name=code.entry)
    )
