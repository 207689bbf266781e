"""Which instructions the kernels are compiled to: read from the assembly."""

from __future__ import annotations

import re
from collections.abc import Callable

import llvmlite.binding as llvm
import pytest
from llvmlite import ir

from halfbyte.kernels.compiler import target
from halfbyte.kernels.compiler.target import ISAS, Isa, IsaError
from halfbyte.kernels.products import dots
from halfbyte.kernels.vectors import emit
from halfbyte.kernels.vectors.simd import Tile

RunPython = Callable[..., str]


def test_isas_are_ordered_and_named_once() -> None:
    assert target.names() == ("amx", "avx512vnni", "avxvnni", "avx2", "neon", "generic")
    supported = target.supported()
    assert supported[-1] == "generic"
    assert list(supported) == [name for name in target.names() if name in supported]
    assert set(dots.DOT) == set(target.names())


def test_an_unknown_isa_is_refused_with_the_names() -> None:
    with pytest.raises(IsaError, match=r"amx, avx512vnni, .*generic, got 'sse9'"):
        target.force("sse9")


@pytest.mark.parametrize("name", [n for n in target.names() if n not in target.supported()])
def test_an_isa_that_this_cpu_lacks_is_refused(name: str) -> None:
    with pytest.raises(IsaError, match=rf"what this CPU supports .*generic\), got {name}"):
        target.force(name)


def test_an_isa_of_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target.platform, "machine", lambda: "riscv64")
    assert target.supported() == ("generic",)
    with pytest.raises(IsaError):
        target.force("avx2")


def test_the_current_isa_can_be_forced_at_any_time() -> None:
    target.force(target.current().name)


def test_the_isa_follows_the_target_and_not_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine, features, expected in [
        ("x86_64", "+sse2", "generic"),
        ("x86_64", "+sse2,+avx2,+fma", "generic"),  # no f16c
        ("x86_64", "+avx2,+fma,+f16c,-avx512f", "avx2"),
        ("AMD64", "+avx2,+fma,+f16c,+avxvnni", "avxvnni"),
        ("x86_64", "+avx2,+fma,+f16c,+avx512f,+avx512bw,+avx512vl", "avx2"),
        ("x86_64", "+avx2,+fma,+f16c,+avx512f,+avx512bw,+avx512vl,+avx512vnni", "avx512vnni"),
        ("aarch64", "+neon", "generic"),
        ("arm64", "+neon,+dotprod", "neon"),
        ("aarch64", "+avx2,+fma,+f16c", "generic"),
    ]:
        monkeypatch.setattr(target.platform, "machine", lambda machine=machine: machine)
        monkeypatch.setattr(target, "target_features", lambda features=features: features)
        assert target.current().name == expected


TOO_LATE = """
from halfbyte.kernels.compiler import jit, target
from halfbyte.kernels.pool import serve
serve.address
key, cpu = jit.cache_key(), target.target_cpu()
try:
    target.force("generic")
except target.IsaError as error:
    assert "loaded" in str(error), error
    # What failed has changed nothing.
    assert (jit.cache_key(), target.target_cpu()) == (key, cpu)
    print("refused")
"""
BESIDE_NUMBA = """
import numba
numba.njit("int64(int64)")(lambda x: x + 1)
from halfbyte.kernels.compiler import jit, target
from halfbyte.kernels.pool import serve
target.force("generic")
assert target.current().name == "generic" and not serve.compile() and serve.address
print(numba.config.CPU_NAME)
"""


@pytest.mark.skipif(len(target.supported()) == 1, reason="this CPU has only the generic path")
def test_forcing_after_a_kernel_was_loaded_is_refused(run_python: RunPython) -> None:
    assert run_python(TOO_LATE) == "refused\n"


@pytest.mark.skipif(len(target.supported()) == 1, reason="this CPU has only the generic path")
def test_an_isa_is_free_where_numba_compiles_for_another(run_python: RunPython) -> None:
    """The kernel is compiled in another process, and Numba here stays as it was."""
    assert run_python(BESIDE_NUMBA) == "None\n"


# --- assembly of the kernels ------------------------------------------------------------------

ASSEMBLY = """
import sys
from halfbyte.kernels import step
from halfbyte.kernels.compiler import target
from halfbyte.kernels.products import matmul
from halfbyte.kernels.stages import attention
target.force(sys.argv[1])
assert target.current().name == sys.argv[1]
kernels = [matmul.matmul_kernel(n, matmul.ways(n)[-1]) for n in ("Q4_0", "Q8_0", "F16")]
kernels += [attention.attention_kernel("f16", 64, 64, 3), step.step]
for kernel in kernels:
    print("####", kernel.name)
    print(kernel.assembly())
"""

# Registers that an ISA lacks, and what its 4-way dot product is made of.
FORBIDDEN = {
    "amx": r"$^",
    "avx512vnni": r"%tmm\d",
    "avxvnni": r"%(zmm\d|[xy]mm(1[6-9]|[23]\d)|k[0-7])\b",
    "avx2": r"%(zmm\d|[xy]mm(1[6-9]|[23]\d)|k[0-7])\b",
    "generic": r"%(zmm|ymm|xmm(1[6-9]|[23]\d))|\tv(add|mul|mov|fmadd)ps",
    "neon": r"$^",
}
DOT = {
    "amx": r"tdpbssd.*%tmm",
    "avx512vnni": r"vpdpbusd.*%zmm",
    "avxvnni": r"\{vex\}\s+vpdpbusd.*%ymm",
    "avx2": r"vpmaddubsw.*%ymm",
    "generic": r"\tp(madd|mull)w",
    "neon": r"\bsdot\b",
}
WIDEST = {
    "amx": "%zmm", "avx512vnni": "%zmm", "avxvnni": "%ymm", "avx2": "%ymm", "generic": "%xmm",
    "neon": "v0",
}  # fmt: skip


@pytest.mark.skipif(target._machine() != "x86", reason="the tables above are of x86")
@pytest.mark.parametrize("isa", target.supported())
def test_kernels_use_their_isa_and_nothing_wider(run_python: RunPython, isa: str) -> None:
    parts = run_python(ASSEMBLY, isa).split("#### ")[1:]
    texts = {part.partition("\n")[0]: part for part in parts}
    assert len(texts) == 5
    for name, text in texts.items():
        found = re.search(FORBIDDEN[isa], text)
        assert found is None, (name, found)
        assert ("Q4_0" in name or "Q8_0" in name) == bool(re.search(DOT[isa], text)) or (
            isa == "generic"
        ), name
        assert WIDEST[isa] in text, name
        if isa != "generic":
            # Calls out of the kernel would mean that a conversion or fma has no instruction.
            assert not re.search(r"(fmaf?|__extendhfsf2|__truncsfhf2|__gnu_\w+)\b(?!.*ps)", text)


# --- dot products of other machines -----------------------------------------------------------


@pytest.fixture(scope="module")
def emit_assembly() -> Callable[[str, str, str, ir.Module], str]:
    """emit(triple, cpu, features, module): the assembly for any target."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()

    def emit(triple: str, cpu: str, features: str, module: ir.Module) -> str:
        module.triple = triple
        machine = llvm.Target.from_triple(triple).create_target_machine(
            cpu=cpu, features=features, opt=3
        )
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        return machine.emit_assembly(parsed)

    return emit


def _dot_module(isa: Isa, signed: bool, monkeypatch: pytest.MonkeyPatch) -> ir.Module:
    """A function of (sums, codes, address of 4 bytes) that adds one dot product."""
    monkeypatch.setattr(target, "current", lambda: isa)
    sums, codes = (Tile(kind, 1).vector for kind in ("i32", "i8"))
    module = ir.Module("dot")
    function = ir.Function(module, ir.FunctionType(sums, [sums, codes, emit.I64]), "one_dot")
    builder = ir.IRBuilder(function.append_basic_block())
    total, code, x = function.args
    found = [total]
    dots._add_dots(builder, found, [code], x, signed)
    builder.ret(found[0])
    return module


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(
    "name, triple, cpu, features, pattern, count",
    [
        ("neon", "aarch64-linux-gnu", "", "+neon,+dotprod", r"\bsdot\tv\d+\.4s, ", 4),
        ("neon", "arm64-apple-macosx", "apple-m1", "", r"\bsdot(\.4s)?\t", 4),
        ("avxvnni", "x86_64-linux-gnu", "x86-64-v3", "+avxvnni", r"\{vex\}\tvpdpbusd\t.*%ymm", 2),
        ("avx512vnni", "x86_64-linux-gnu", "x86-64-v4", "+avx512vnni", r"vpdpbusd\t.*%zmm", 1),
        ("avx2", "x86_64-linux-gnu", "x86-64-v3", "", r"vpmaddubsw\t.*%ymm", 2),
        ("generic", "x86_64-linux-gnu", "x86-64", "", r"\tpm(add|ull)", None),
        ("generic", "aarch64-linux-gnu", "", "+neon", r"\b[su]?m(ul|la|lal)\d?\t", None),
    ],
)
def test_dot_products_become_the_instruction_of_each_isa(
    emit_assembly: Callable[..., str], monkeypatch: pytest.MonkeyPatch, signed: bool, name: str,
    triple: str, cpu: str, features: str, pattern: str, count: int | None,
) -> None:  # fmt: skip
    isa = next(isa for isa in ISAS if isa.name == name)
    module = _dot_module(isa, signed, monkeypatch)
    text = emit_assembly(triple, cpu, features, module)
    found = re.findall(pattern, text)
    assert len(found) == count if count else found, text
    assert not re.search(r"\b(call|bl)\t", text)


def test_halves_convert_in_one_instruction_each_where_there_is_one(
    emit_assembly: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, triple, cpu, patterns in [
        ("avx2", "x86_64-linux-gnu", "x86-64-v3", (r"vcvtph2ps", r"vcvtps2ph")),
        ("neon", "aarch64-linux-gnu", "", (r"\bfcvtl", r"\bfcvtn")),
        ("generic", "x86_64-linux-gnu", "x86-64", (r"\bmulps", r"\baddps")),
    ]:
        isa = next(isa for isa in ISAS if isa.name == name)
        monkeypatch.setattr(target, "current", lambda isa=isa: isa)
        module = ir.Module("halves")
        kind = ir.FunctionType(ir.VoidType(), [emit.I64, emit.I64])
        function = ir.Function(module, kind, "there_and_back")
        builder = ir.IRBuilder(function.append_basic_block())
        wide = emit.load_f16(builder, function.args[0])
        wide = builder.fadd(wide, wide)
        emit.store(builder, emit.to_f16(builder, wide), function.args[1])
        builder.ret_void()
        text = emit_assembly(triple, cpu, "", module)
        assert all(re.search(p, text) for p in patterns), text
        assert not re.search(r"\b(call|bl)q?\t", text)
