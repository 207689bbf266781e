"""Machine code of finished kernels, loaded by LLVM's linker: where machine_code.py does not."""

from __future__ import annotations

import os
from typing import Any

import llvmlite.binding as llvm
from llvmlite.binding.ffi import lib as llvm_library

_linkers: list[Any] = []  # they and their code live as long as the process: threads may be in it
_entries: set[str] = set()  # of the last one
_is_forking = False


def _before_fork() -> None:
    """Wait for what another thread loads: the child would have a lock that is never released."""
    global _is_forking
    llvm_library._lock.__enter__()
    _is_forking = True


def _after_fork() -> None:
    global _is_forking
    if _is_forking:  # unless this module was imported while the fork waited for other things
        _is_forking = False
        llvm_library._lock.__exit__()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )


def load(object_code: bytes, entry: str) -> int:
    """Make an object file's code callable; the address of the function `entry`.

    The file must be one that was written here, byte by byte: LLVM trusts it.
    """
    linker = _linker_without(entry)
    linker.add_object_file(llvm.ObjectFileRef.from_data(object_code))
    linker.finalize_object()
    address = int(linker.get_function_address(entry))
    if address == 0:
        raise ValueError(f"no function {entry}")
    return address


def _linker_without(entry: str) -> Any:
    """The last linker, which takes longer to make than to use; a new one where that has the name.

    Nothing in an object file but its entry has a name that others see.
    """
    if not _linkers or entry in _entries:
        _linkers.append(llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine()))
        _entries.clear()
    _entries.add(entry)
    return _linkers[-1]


def _machine() -> Any:
    """A linker's target machine; it wants one of its own."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        reloc="static", codemodel="jitdefault", jit=True
    )
