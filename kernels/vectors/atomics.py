"""Atomic operations on 64-bit words, a clock, pause and sleep: what the worker pool is built from.

Numba has no atomics for the CPU. All words are 8-byte aligned addresses. Sleeping uses the futex
system call on Linux; elsewhere a waiting thread gives way to others.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir

from halfbyte.kernels.compiler.deferred import types
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.emit import I32, I64, emits

_X86, _ARM = ("x86_64", "amd64"), ("aarch64", "arm64")
_FUTEX_CALL = {**dict.fromkeys(_X86, 202), **dict.fromkeys(_ARM, 98)}
_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129

HAS_FUTEX = sys.platform.startswith("linux") and platform.machine().lower() in _FUTEX_CALL


_VOID, _WORD = types.void, types.int64


def _word(b: Any, address: Any) -> Any:
    return b.inttoptr(address, I64.as_pointer())


@emits(_WORD(_WORD))
def atomic_get(b: Any, address: Any) -> Any:
    """The word at an address; what its writer wrote before is visible after."""
    return b.load_atomic(_word(b, address), "seq_cst", 8)


@emits(_VOID(_WORD, _WORD))
def atomic_put(b: Any, address: Any, value: Any) -> None:
    """Write a word; what was written before is visible to who reads it."""
    b.store_atomic(value, _word(b, address), "seq_cst", 8)


@emits(_WORD(_WORD, _WORD))
def atomic_add(b: Any, address: Any, value: Any) -> Any:
    """Add to a word; returns the word before."""
    return b.atomic_rmw("add", _word(b, address), value, "seq_cst")


@emits(types.boolean(_WORD, _WORD, _WORD))
def compare_and_swap(b: Any, address: Any, expected: Any, value: Any) -> Any:
    """Replace a word if it is as expected; whether it was."""
    result = b.cmpxchg(_word(b, address), expected, value, "seq_cst", "seq_cst")
    return b.extract_value(result, 1)


@emits(_VOID())
def pause(b: Any) -> None:
    """Tell the core that this thread spins."""
    machine = platform.machine().lower()
    if machine in _X86:
        emit.call(b, "llvm.x86.sse2.pause", ir.VoidType())
    elif machine in _ARM:
        emit.call(b, "llvm.aarch64.hint", ir.VoidType(), ir.Constant(I32, 1))


@emits(_WORD())
def ticks(b: Any) -> Any:
    """A clock's time, in units of its own; always 0 on machines that let no program read one."""
    if platform.machine().lower() in (*_X86, *_ARM):
        return emit.call(b, "llvm.readcyclecounter", I64)
    return ir.Constant(I64, 0)


@emits(_VOID(_WORD, _WORD))
def sleep_while(b: Any, address: Any, value: Any) -> None:
    """Sleep until woken, unless the word's low 32 bits differ from `value`'s; may wake early."""
    if HAS_FUTEX:
        _futex(b, address, _FUTEX_WAIT_PRIVATE, b.and_(value, ir.Constant(I64, 2**32 - 1)))
    else:
        emit.call(b, "SwitchToThread" if sys.platform == "win32" else "sched_yield", I32)


@emits(_VOID(_WORD))
def wake_all(b: Any, address: Any) -> None:
    """Wake every thread that sleeps on a word."""
    if HAS_FUTEX:
        _futex(b, address, _FUTEX_WAKE_PRIVATE, ir.Constant(I64, 2**31 - 1))


def _futex(b: Any, address: Any, operation: int, value: Any) -> None:
    function = b.module.globals.get("syscall")
    if function is None:
        function = ir.Function(b.module, ir.FunctionType(I64, [I64], var_arg=True), "syscall")
    call = _FUTEX_CALL[platform.machine().lower()]
    numbers = [ir.Constant(I64, n) for n in (call, operation)]
    zero = ir.Constant(I64, 0)
    b.call(function, [numbers[0], address, numbers[1], value, zero, zero, zero])
