"""Which instructions the kernels are compiled for.

The kernels are written on virtual vectors of 16 lanes, so only two things differ from one ISA to
the next: how a 4-way byte dot product is made, and which register tile is fastest. The ISA is
the best that the target's features allow; the target is the CPU's own, or that of a lower ISA:

    amx          as avx512vnni, and tiles of 16 tokens by 16 rows for many tokens at once
    avx512vnni   vpdpbusd on 64 bytes
    avxvnni      vpdpbusd on 32 bytes
    avx2         moved signs, vpmaddubsw and vpmaddwd on 32 bytes; needs FMA and F16C
    neon         sdot on 16 bytes (AArch64 with the dot-product extension)
    generic      plain vector arithmetic; f16 converted by integer operations

`force` chooses a lower one, for tests and for machines whose widest vectors are slow. It must come
before the first kernel is loaded.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache

from halfbyte.kernels.compiler import host_cpu
from halfbyte.kernels.compiler.uninterrupted import uninterrupted
from halfbyte.lazy_dataclass import dataclass


class IsaError(ValueError):
    """The wanted ISA is unknown, is not supported by this CPU, or comes too late.

    `expected` says what would have been accepted.
    """

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Isa:
    """One way to compile the kernels. `needs` are LLVM feature names.

    `tile` is (panels, tokens), `dot_tile` that of packed codes and its tokens where few are left;
    `attention_tile` is (vectors, rows, rows where few are left), `codes_tile` that of caches of
    codes. `cpu` and `features` make Numba compile for exactly this ISA; empty: leave Numba's own
    choice.
    """

    name: str
    machine: str
    needs: tuple[str, ...]
    tile: tuple[int, int]
    dot_tile: tuple[int, int, int]
    attention_tile: tuple[int, int, int]
    codes_tile: tuple[int, int, int]
    has_f16: bool
    cpu: str = ""
    features: str = ""


_V3 = "+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+lzcnt,+movbe,+popcnt,+sse4.2"
_V4 = _V3 + ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
_AVX512 = ("avx512f", "avx512bw", "avx512vl", "avx512vnni")

# Best first. The tiles: 32 vector registers hold 2 x 4 sums and 2 x 4 dot products, or for few
# tokens 1 x 8: one panel is read front to back, and its codes are taken apart for 8 tokens at once.
# With 16 of half the width, 1 x 2 is the most that stays in registers.
ISAS = (
    Isa("amx", "x86", (*_AVX512, "amx-tile", "amx-int8"), (2, 4), (1, 8, 4), (4, 6, 4), (2, 8, 4),
        True),
    Isa("avx512vnni", "x86", _AVX512, (2, 4), (1, 8, 4), (4, 6, 4), (2, 8, 4), True, "x86-64-v4",
        _V4 + ",+avx512vnni"),
    Isa("avxvnni", "x86", ("avx2", "fma", "f16c", "avxvnni"), (1, 2), (1, 2, 2), (1, 6, 4),
        (1, 4, 2), True, "x86-64-v3", _V3 + ",+avxvnni"),
    Isa("avx2", "x86", ("avx2", "fma", "f16c"), (1, 2), (1, 2, 2), (1, 6, 4), (1, 4, 2), True,
        "x86-64-v3", _V3),
    Isa("neon", "arm", ("neon", "dotprod"), (1, 4), (1, 4, 4), (1, 4, 2), (1, 4, 2), True),
    Isa("generic", "", (), (1, 1), (1, 1, 1), (1, 2, 1), (1, 2, 1), False, "x86-64", "+sse2"),
)  # fmt: skip
_BY_NAME = {isa.name: isa for isa in ISAS}
_forced: Isa | None = None
_is_settled = False


def names() -> tuple[str, ...]:
    """The names that `force` knows, best first."""
    return tuple(_BY_NAME)


def force(name: str, *, least: bool = False) -> None:
    """Compile for the named ISA from here on; `least`: for its least CPU, even if it is the best.

    Raises:
        IsaError: the name is unknown, the CPU lacks the ISA, or kernels of another are loaded.
    """
    isa = _BY_NAME.get(name)
    if isa is None:
        raise IsaError(f"one of {', '.join(names())}", repr(name))
    if not _cpu_has(isa):
        raise IsaError(f"what this CPU supports ({', '.join(supported())})", name)
    global _forced
    if _is_settled and current() is not isa:
        raise IsaError(
            f"{current().name}, for which kernels have been loaded in this process (the ISA must "
            "be chosen before)",
            name,
        )
    is_other = least or name != supported()[0]
    _forced = isa if is_other and isa.cpu and _machine() == "x86" else None
    assert current() is isa


def settle() -> None:
    """Kernels get loaded: from here on, the ISA stays."""
    global _is_settled
    _is_settled = True


def supported() -> tuple[str, ...]:
    """Names of the ISAs that this CPU can run, best first."""
    return tuple(isa.name for isa in ISAS if _cpu_has(isa))


def current() -> Isa:
    """The ISA of this process's kernels."""
    return _best(target_features())


@cache
def _best(target_features: str) -> Isa:
    features = {f[1:] for f in target_features.split(",") if f.startswith("+")}
    return next(isa for isa in ISAS if _fits(isa, features))


def target_cpu() -> str:
    """LLVM's name of the CPU that kernels are compiled for."""
    return _forced.cpu if _forced else _host()[0]


def target_features() -> str:
    """LLVM's feature string of the target that kernels are compiled for."""
    return _forced.features if _forced else _host()[1]


@cache
def _host() -> tuple[str, str]:
    """LLVM's name of this CPU, and its features."""
    return uninterrupted(host_cpu.name_and_features)


@cache
def _host_features() -> frozenset[str]:
    """What the CPU has, whatever is compiled for."""
    return frozenset(f[1:] for f in _host()[1].split(",") if f.startswith("+"))


def _cpu_has(isa: Isa) -> bool:
    return _fits(isa, _host_features())


def _fits(isa: Isa, features: set[str] | frozenset[str]) -> bool:
    """Whether this machine and a CPU with these features can run an ISA."""
    if isa.machine not in ("", _machine()) or not features.issuperset(isa.needs):
        return False
    return isa.name != "amx" or _may_use_tiles()


@cache
def _may_use_tiles() -> bool:
    """Ask Linux for AMX's registers, which each process has to (arch_prctl(2))."""
    if not sys.platform.startswith("linux"):
        return False
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0


def _machine() -> str:
    name = platform.machine().lower()
    if name in ("x86_64", "amd64"):
        return "x86"
    return "arm" if name in ("arm64", "aarch64") else name
