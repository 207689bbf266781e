"""Which instructions the kernels are compiled for.

The kernels are written on virtual vectors of 16 lanes, so only two things differ from one ISA to
the next: how a 4-way byte dot product is made, and which register tile is fastest. The ISA is
read from the target that Numba really compiles for, never from the CPU alone:

    avx512vnni   vpdpbusd on 64 bytes
    avxvnni      vpdpbusd on 32 bytes
    avx2         moved signs, vpmaddubsw and vpmaddwd on 32 bytes; needs FMA and F16C
    neon         sdot on 16 bytes (AArch64 with the dot-product extension)
    generic      plain vector arithmetic; f16 converted by integer operations

`force` chooses a lower one, for tests and for machines whose widest vectors are slow. It changes
Numba's target for the whole process, so it must come before Numba compiles anything.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

import llvmlite.binding as llvm
import numba
from numba.core.registry import cpu_target


class IsaError(ValueError):
    """The wanted ISA is unknown, is not supported by this CPU, or comes too late.

    `expected` says what would have been accepted.
    """

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Isa:
    """One way to compile the kernels. `needs` are LLVM feature names; `tile` is (panels, tokens).

    `cpu` and `features` make Numba compile for exactly this ISA; empty: leave Numba's own choice.
    """

    name: str
    machine: str
    needs: tuple[str, ...]
    tile: tuple[int, int]
    has_f16: bool
    cpu: str = ""
    features: str = ""


_V3 = "+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+lzcnt,+movbe,+popcnt,+sse4.2"

# Best first. The tiles: 32 vector registers hold 2 x 4 sums and 2 x 4 dot products; with 16 of
# half the width, 1 x 2 is the most that stays in registers.
ISAS = (
    Isa("avx512vnni", "x86", ("avx512f", "avx512bw", "avx512vl", "avx512vnni"), (2, 4), True),
    Isa("avxvnni", "x86", ("avx2", "fma", "f16c", "avxvnni"), (1, 2), True, "x86-64-v3",
        _V3 + ",+avxvnni"),
    Isa("avx2", "x86", ("avx2", "fma", "f16c"), (1, 2), True, "x86-64-v3", _V3),
    Isa("neon", "arm", ("neon", "dotprod"), (1, 4), True),
    Isa("generic", "", (), (1, 1), False, "x86-64", "+sse2"),
)  # fmt: skip
_BY_NAME = {isa.name: isa for isa in ISAS}


def names() -> tuple[str, ...]:
    """The names that `force` knows, best first."""
    return tuple(_BY_NAME)


def force(name: str) -> None:
    """Compile for the named ISA from here on.

    Raises:
        IsaError: the name is unknown, the CPU lacks the ISA, or Numba has compiled already.
    """
    isa = _BY_NAME.get(name)
    if isa is None:
        raise IsaError(f"one of {', '.join(names())}", repr(name))
    if not _cpu_has(isa):
        raise IsaError(f"what this CPU supports ({', '.join(supported())})", name)
    before = numba.config.CPU_NAME, numba.config.CPU_FEATURES
    if isa.cpu and _machine() == "x86":
        numba.config.CPU_NAME = isa.cpu
        numba.config.CPU_FEATURES = isa.features
    if current() is not isa:
        numba.config.CPU_NAME, numba.config.CPU_FEATURES = before
        raise IsaError(
            f"{current().name}, for which Numba has begun to compile in this process (the ISA must "
            "be chosen before)",
            name,
        )


def supported() -> tuple[str, ...]:
    """Names of the ISAs that this CPU can run, best first."""
    return tuple(isa.name for isa in ISAS if _cpu_has(isa))


def current() -> Isa:
    """The ISA of the target that Numba compiles for in this process."""
    features = {f[1:] for f in target_features().split(",") if f.startswith("+")}
    return next(
        isa for isa in ISAS if isa.machine in ("", _machine()) and features.issuperset(isa.needs)
    )


def target_cpu() -> str:
    """LLVM's name of the CPU that Numba compiles for."""
    return str(cpu_target.target_context.codegen().magic_tuple()[1])


def target_features() -> str:
    """LLVM's feature string of the target that Numba compiles for."""
    return str(cpu_target.target_context.codegen().magic_tuple()[2])


def _cpu_has(isa: Isa) -> bool:
    if isa.machine not in ("", _machine()):
        return False
    host = llvm.get_host_cpu_features()
    return all(host.get(feature, False) for feature in isa.needs)


def _machine() -> str:
    name = platform.machine().lower()
    if name in ("x86_64", "amd64"):
        return "x86"
    return "arm" if name in ("arm64", "aarch64") else name
