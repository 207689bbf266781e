"""How the helpers of kernels are compiled: to be linked into kernels, and for nothing else.

Numba makes machine code, a C entry and a dispatcher of every function that it compiles, tells
debuggers of its variables, and runs passes that serve features helpers do not use, and it optimizes
a helper again in each that calls it. Here a helper stops at LLVM IR as it is made, and a kernel is
optimized once, with all that it calls.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, ir, typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
from numba.core.lowering import Lower


@register_pass(mutates_CFG=False, analysis_only=False)
class _FieldsToNumbers(FunctionPass):
    """Takes a word's offset (`STEP.work`, of a table that is global) as the number that it is.

    Numba knows no type of such a table (vectors/words.py).
    """

    _name = "fields_to_numbers"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        tuples: dict[str, Any] = {}
        for block in state.func_ir.blocks.values():
            kept = []
            for item in block.body:
                value = getattr(item, "value", None)
                if isinstance(value, ir.Global | ir.FreeVar) and hasattr(value.value, "_fields"):
                    tuples[item.target.name] = value.value
                    continue
                if isinstance(value, ir.Expr) and value.op == "getattr":
                    fields = tuples.get(value.value.name)
                    if fields is not None:
                        item.value = ir.Const(getattr(fields, value.attr), value.loc)
                kept.append(item)
            block.body = kept
        return bool(tuples)


_PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    _FieldsToNumbers,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    untyped_passes.DeadBranchPrune,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
)


class Library(JITCodeLibrary):
    """LLVM IR as it was made. Optimized is what a kernel's library links, once, as a whole."""

    def add_llvm_module(self, ll_module: Any) -> None:
        self._final_module.link_in(ll_module)

    def finalize(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration:
                function.linkage = "linkonce_odr"
        self._finalized = True

    def linked(self) -> Any:
        """The module with all that it calls, however deep."""
        libraries, waiting = {self: None}, [self]
        while waiting:
            for library in waiting.pop()._linking_libraries:
                if library not in libraries:
                    libraries[library] = None
                    waiting.append(library)
        module = self._final_module
        for library in libraries:
            if library is not self:
                module.link_in(library._final_module, preserve=True)
        return module


class _Lower(Lower):
    """Tells debuggers nothing of variables: for each, Numba has LLVM parse a module of its type."""

    def alloca_lltype(self, name: str, lltype: Any, datamodel: Any = None) -> Any:
        return cgutils.alloca_once(self.builder, lltype, name=name, zfill=False)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(typed_passes.NativeLowering):
    """Lowers a helper and makes it known to its callers."""

    _name = "helper_lowering"
    lowering_class = _Lower

    def run_pass(self, state: Any) -> bool:
        state.library = Library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        self._finish(state)
        return True

    def _finish(self, state: Any) -> None:
        state.library._ensure_finalized()
        known_by = state.func_id.func, tuple(state.args)
        state.targetctx.insert_user_function(known_by, state["cr"].fndesc, [state.library])


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(_Lowering):
    """Lowers a kernel, whose library gets an entry before it is optimized."""

    _name = "kernel_lowering"

    def _finish(self, state: Any) -> None:
        pass


class HelperCompiler(CompilerBase):
    """Numba's pipeline for a helper."""

    lowering = _Lowering

    def define_pipelines(self) -> list[Any]:
        passes = PassManager(self.lowering._name)
        for item in (*_PASSES, self.lowering, typed_passes.NoPythonBackend):
            passes.add_pass(item, item._name)
        passes.finalize()
        return [passes]


class KernelCompiler(HelperCompiler):
    """Numba's pipeline for a kernel: its library is left open."""

    lowering = _KernelLowering
