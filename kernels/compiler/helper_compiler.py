"""How the helpers of kernels are compiled: to be linked into kernels, and for nothing else.

Numba makes machine code and a C entry of every function that it compiles, and runs passes that
serve features helpers do not use. For a kernel of thirty helpers that is a third of its compile
time. Here a helper stops at optimized LLVM IR.
"""

from __future__ import annotations

from typing import Any

from numba.core import typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass

_PASSES = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    untyped_passes.GenericRewrites,
    untyped_passes.ReconstructSSA,
    untyped_passes.DeadBranchPrune,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.NopythonRewrites,
    typed_passes.IRLegalization,
)


class _Library(JITCodeLibrary):
    """Optimized LLVM IR without machine code."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(typed_passes.NativeLowering):
    """Lowers a helper and makes it known to its callers."""

    _name = "helper_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        self._finish(state)
        return True

    def _finish(self, state: Any) -> None:
        state.library._ensure_finalized()
        # Callers know this version of the helper by a built-in function, which is never called.
        handle = list[None]().append
        state["cr"] = state["cr"]._replace(cfunc=handle)
        state.targetctx.insert_user_function(handle, state["cr"].fndesc, [state.library])


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
