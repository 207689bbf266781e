"""Machine code of finished kernels, loaded by LLVM's linker: where machine_code.py does not."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite.binding.ffi import lib as llvm_library

from halfbyte.kernels.compiler.fork_locks import LLVM, let_forks_wait

_linkers: list[Any] = []  # they and their code live as long as the process: threads may be in it
_entries: set[str] = set()  # of the last one

let_forks_wait(LLVM, llvm_library._lock)  # the child would have a lock that is never released


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
