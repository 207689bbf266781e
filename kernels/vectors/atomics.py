"""Atomic operations on 64-bit words, pause and sleep: what the worker pool is built from.

Numba has no atomics for the CPU. All words are 8-byte aligned addresses. Sleeping uses the futex
system call on Linux; elsewhere a waiting thread gives way to others.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from halfbyte.kernels.vectors.emit import I32, I64, emit_call

_FUTEX_CALL = {"x86_64": 202, "amd64": 202, "aarch64": 98, "arm64": 98}
_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129

HAS_FUTEX = sys.platform.startswith("linux") and platform.machine().lower() in _FUTEX_CALL


def _word(b: Any, address: Any, llvm_type: Any = I64) -> Any:
    return b.inttoptr(address, llvm_type.as_pointer())


@intrinsic
def atomic_get(tc: Any, address: Any) -> Any:
    """The word at an address; what its writer wrote before is visible after."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.load_atomic(_word(b, args[0]), "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def atomic_put(tc: Any, address: Any, value: Any) -> Any:
    """Write a word; what was written before is visible to who reads it."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        b.store_atomic(args[1], _word(b, args[0]), "seq_cst", 8)
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def atomic_add(tc: Any, address: Any, value: Any) -> Any:
    """Add to a word; returns the word before."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        return b.atomic_rmw("add", _word(b, args[0]), args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def compare_and_swap(tc: Any, address: Any, expected: Any, value: Any) -> Any:
    """Replace a word if it is as expected; whether it was."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        result = b.cmpxchg(_word(b, args[0]), args[1], args[2], "seq_cst", "seq_cst")
        return b.extract_value(result, 1)

    return types.boolean(types.int64, types.int64, types.int64), codegen


@intrinsic
def pause(tc: Any) -> Any:
    """Tell the core that this thread spins."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        machine = platform.machine().lower()
        if machine in ("x86_64", "amd64"):
            emit_call(b, "llvm.x86.sse2.pause", ir.VoidType())
        elif machine in ("aarch64", "arm64"):
            emit_call(b, "llvm.aarch64.hint", ir.VoidType(), ir.Constant(I32, 1))
        return ctx.get_dummy_value()

    return types.void(), codegen


@intrinsic
def sleep_while(tc: Any, address: Any, value: Any) -> Any:
    """Sleep until woken, unless the word's low 32 bits differ from `value`'s; may wake early."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if HAS_FUTEX:
            _futex(b, args[0], _FUTEX_WAIT_PRIVATE, b.and_(args[1], ir.Constant(I64, 2**32 - 1)))
        else:
            name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
            emit_call(b, name, I32)
        return ctx.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def wake_all(tc: Any, address: Any) -> Any:
    """Wake every thread that sleeps on a word."""

    def codegen(ctx: Any, b: Any, sig: Any, args: Any) -> Any:
        if HAS_FUTEX:
            _futex(b, args[0], _FUTEX_WAKE_PRIVATE, ir.Constant(I64, 2**31 - 1))
        return ctx.get_dummy_value()

    return types.void(types.int64), codegen


def _futex(b: Any, address: Any, operation: int, value: Any) -> None:
    function = b.module.globals.get("syscall")
    if function is None:
        function = ir.Function(b.module, ir.FunctionType(I64, [I64], var_arg=True), "syscall")
    call = _FUTEX_CALL[platform.machine().lower()]
    numbers = [ir.Constant(I64, n) for n in (call, operation)]
    zero = ir.Constant(I64, 0)
    b.call(function, [numbers[0], address, numbers[1], value, zero, zero, zero])
