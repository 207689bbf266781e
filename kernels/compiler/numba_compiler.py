"""Kernels to machine code, by Numba. Only what has to compile imports this file.

A kernel's code is an object file with one symbol, a C function of 64-bit integers. All else in it
is internal, and it calls nothing but what C has: memcpy, memset, syscall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.core import errors
from numba.core.compiler import Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.typing.templates import (
    AbstractTemplate,
    infer,
    infer_global,
    make_intrinsic_template,
)

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.deferred import Noted, noted
from halfbyte.kernels.compiler.fork_locks import COMPILER, let_forks_wait
from halfbyte.kernels.compiler.helper_compiler import HelperCompiler, KernelCompiler

OPTIONS = {"error_model": "numpy", "boundscheck": False}

compiler_lock = global_compiler_lock  # whose holder alone has Numba compile
_signatures: dict[Any, Any] = {}  # by function and types

let_forks_wait(COMPILER, global_compiler_lock)  # the child would have half a compiler


def object_code(function: Callable[..., None], n_args: int, entry: str) -> bytes:
    """The object file of a function of int64 arguments without result, under the name `entry`.

    Raises:
        TargetError: Numba has begun to compile for another target in this process.
    """
    machine, module = _compiled(function, n_args, entry)
    return bytes(machine.emit_object(module))


def assembly(function: Callable[..., None], n_args: int, entry: str) -> str:
    """The same as text."""
    machine, module = _compiled(function, n_args, entry)
    return str(machine.emit_assembly(module))


class TargetError(RuntimeError):
    """Numba compiles for another CPU or other features in this process."""


def _compiled(function: Callable[..., None], n_args: int, entry: str) -> tuple[Any, Any]:
    """LLVM's target machine and the optimized module."""
    with global_compiler_lock:
        _aim()
        while noted:
            _register(noted.pop(0))
        context = cpu_target.target_context
        cpu_target.typing_context.refresh()
        context.refresh()
        with _remembered_types():
            made = compile_extra(
                cpu_target.typing_context, context, function, (types.int64,) * n_args, types.void,
                _flags(), {}, pipeline_class=KernelCompiler,
            )  # fmt: skip
        library = made.library
        library.add_ir_module(_entry(context, made.fndesc, entry))
        module = library.linked()
        _hide(module, entry)
        _optimize(module)
        module.verify()
        return context.codegen()._tm, module


def _flags() -> Flags:
    flags = Flags()
    cpu_target.options.parse_as_flags(flags, OPTIONS | {"nopython": True})
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    return flags


@contextmanager
def _remembered_types() -> Iterator[None]:
    """Look up once what a function is for its arguments' types.

    Numba tries all versions anew, both to infer types and again to lower each operator.
    """
    look_up = types.Function.get_call_type

    def get_call_type(function: Any, context: Any, args: Any, named: Any) -> Any:
        key = function, tuple(args)
        found = None if named else _signatures.get(key)
        if found is None:
            found = look_up(function, context, args, named)
            if found is not None and not named:
                _signatures[key] = found
        return found

    types.Function.get_call_type = get_call_type
    try:
        yield
    finally:
        del types.Function.get_call_type


def _aim() -> None:
    """Have Numba compile for this process's target."""
    cpu, features = target.target_cpu(), target.target_features()
    if "_toplevel_target_context" not in cpu_target.__dict__:
        # Numba asks LLVM for the CPU's name whenever it names a function, unless it was told.
        numba.config.CPU_NAME, numba.config.CPU_FEATURES = cpu, features
    _, its_cpu, its_features = cpu_target.target_context.codegen().magic_tuple()
    if (its_cpu, its_features) != (cpu, features):
        raise TargetError(f"Numba compiles for {its_cpu} in this process, not for {cpu}")


def _register(item: Noted) -> None:
    """Have Numba compile a helper, or generate an intrinsic's code, where a kernel calls it."""
    handle = item.handle
    if item.typing is not None:
        template = make_intrinsic_template(
            handle, item.typing, handle.__name__, prefer_literal=item.prefer_literal
        )
    else:
        fields = {"key": staticmethod(handle), "prefer_literal": item.prefer_literal}
        template = type(handle.__name__, (_HelperTemplate,), fields | {"signatures": {}})
    infer(template)
    infer_global(handle, types.Function(template))


class _HelperTemplate(AbstractTemplate):
    """Calls of a helper, each of which has it compiled for its arguments.

    As Numba's own for `overload`, without a dispatcher for functions that Python calls.
    """

    signatures: dict[Any, Any]

    def generic(self, args: Any, named: Any) -> Any:
        """The signature of the version for arguments of these types."""
        if named:
            raise errors.TypingError(f"{self.key.__name__}: helpers take no arguments by name")
        signature = self.signatures.get(args)
        if signature is None:
            made = compile_extra(
                self.context, cpu_target.target_context, self.key, args, None, _flags(), {},
                pipeline_class=HelperCompiler,
            )  # fmt: skip
            signature = self.signatures[args] = made.signature
        return signature

    def get_impl_key(self, signature: Any) -> Any:
        """What its code is known by (HelperCompiler)."""
        return self.key, signature.args

    def get_template_info(self) -> dict[str, Any]:
        """For Numba's messages."""
        code = self.key.__code__
        lines = (code.co_firstlineno, code.co_firstlineno)
        return {
            "kind": "helper", "name": self.key.__qualname__, "sig": "", "lines": lines,
            "filename": code.co_filename, "docstring": self.key.__doc__,
        }  # fmt: skip


def _entry(context: Any, fndesc: Any, name: str) -> Any:
    """A C function that calls Numba's: its error code has no meaning, as no kernel raises."""
    module = context.create_module(name)
    callee = ir.Function(
        module, context.call_conv.get_function_type(fndesc.restype, fndesc.argtypes),
        fndesc.llvm_func_name,
    )  # fmt: skip
    words = [context.get_value_type(item) for item in fndesc.argtypes]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), words), name)
    builder = ir.IRBuilder(function.append_basic_block())
    context.call_conv.call_function(builder, callee, fndesc.restype, fndesc.argtypes, function.args)
    builder.ret_void()
    return module


def _hide(module: Any, entry: str) -> None:
    """Make everything internal but the entry: kernels that are loaded together share nothing."""
    for item in (*module.functions, *module.global_variables):
        if not item.is_declaration and item.name != entry:
            item.linkage = llvm.Linkage.internal


def _optimize(module: Any) -> None:
    """LLVM's passes over all that a kernel has, once.

    Vectors are written by hand, so that higher levels take time and give nothing. What comes first
    brings loops into their usual form before calls are inlined, without which products for many
    tokens take a tenth longer.
    """
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    builder = llvm.create_pass_builder(cpu_target.target_context.codegen()._tm, options)
    first = llvm.create_new_module_pass_manager()
    first.add_sroa_pass()
    first.add_instruction_combine_pass()
    first.add_simplify_cfg_pass()
    first.add_loop_rotate_pass()
    first.add_instruction_combine_pass()
    first.add_jump_threading_pass()
    first.run(module, builder)
    builder.getModulePassManager().run(module, builder)
